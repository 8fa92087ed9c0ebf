//! Logging in with a password, by the methods `password` and `keyboard-interactive`.

use std::time::Duration;

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Reply, Prompt};
use secrecy::{ExposeSecret, SecretString};

use crate::capability::ssh::auth::{Answer, Demand, KEYBOARD_INTERACTIVE, LoginAttempt, PASSWORD};
use crate::capability::ssh::text::printable_line;

impl LoginAttempt<'_> {
    /// Tries a password. If the server refuses it, and also offers `keyboard-interactive`, it is tried that way too:
    /// there are servers that accept passwords in one of the two ways alone, and offer both.
    pub(super) async fn try_password(&mut self, password: &SecretString) -> Result<Answer, russh::Error> {
        if !self.is_offered(&[PASSWORD, KEYBOARD_INTERACTIVE], "a password") {
            return Ok(Answer::Refused);
        }
        let description = || "the password".to_owned();
        if self.offers(PASSWORD) {
            let Some(answer) = self.send_password(password).await? else {
                self.demand.get_or_insert(Demand::NewPassword);
                return Ok(Answer::Refused);
            };
            let answer = self.answer(&answer, description(), PASSWORD, None);
            let is_refused = matches!(answer, Answer::Refused);
            if !is_refused || self.client.is_closed() || !self.offers(KEYBOARD_INTERACTIVE) {
                return Ok(answer);
            }
            self.refused.pop();
        }
        let answer = self.answer_prompts(password).await?;
        Ok(self.answer(&answer, description(), KEYBOARD_INTERACTIVE, None))
    }

    /// Sends a password by the method `password`. Returns `None` if the server asks for a new one, since this has
    /// expired.
    ///
    /// russh ignores that request (`SSH_MSG_USERAUTH_PASSWD_CHANGEREQ` in RFC 4252, section 8), so that its own answer
    /// would never come. It shows in a message after which russh waits for another one.
    async fn send_password(&mut self, password: &SecretString) -> Result<Option<AuthResult>, russh::Error> {
        /// The time to wait for the rest of a message, if it came in two pieces, or for the answer itself, if a message
        /// to ignore came before it.
        const REST_TIMEOUT: Duration = Duration::from_millis(200);
        let mut idle = self.handshake.watch_idle();
        {
            let sending = self.client.authenticate_password(self.user, password.expose_secret());
            tokio::pin!(sending);
            tokio::select! {
                biased;
                answer = &mut sending => return answer.map(Some),
                _ = idle.changed() => {}
            }
            if let Ok(answer) = tokio::time::timeout(REST_TIMEOUT, &mut sending).await {
                return answer.map(Some);
            }
        }
        self.request_again().await
    }

    /// Finds out, after an ignored message, whether the server waits for a new password. Returns the answer to the
    /// password if it does not.
    ///
    /// Makes another request: it aborts an exchange that waits for the client, to which there is no answer then (RFC
    /// 4252, section 5.1), so that there is one refusal. Otherwise there are two: that of the password, which is still
    /// to come, and that of this request. A login that succeeds is recognised in any case.
    async fn request_again(&mut self) -> Result<Option<AuthResult>, russh::Error> {
        /// The time to wait for a second refusal.
        const SECOND_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
        let first = self.client.authenticate_none(self.user).await?;
        if first.success() || self.client.is_closed() {
            return Ok(Some(first));
        }
        // russh sends no answers that nobody has asked for, so that this only waits.
        let second = self.client.authenticate_keyboard_interactive_respond(Vec::new());
        match tokio::time::timeout(SECOND_ANSWER_TIMEOUT, second).await {
            Err(_) => Ok(None),
            Ok(Ok(Reply::Success)) => Ok(Some(AuthResult::Success)),
            Ok(_) => Ok(Some(first)),
        }
    }

    /// Logs in with a password by the method `keyboard-interactive`. The password is the answer to the first prompt
    /// that is not echoed; all other answers are empty.
    ///
    /// # Errors
    /// The errors of russh, and [`russh::Error::Inconsistent`] after ten requests for answers.
    async fn answer_prompts(&mut self, password: &SecretString) -> Result<AuthResult, russh::Error> {
        /// The maximum number of requests for answers, which a server could otherwise send endlessly.
        const MAX_REQUESTS: usize = 10;
        let mut reply = self.client.authenticate_keyboard_interactive_start(self.user, None).await?;
        let mut password_prompt = None;
        for _ in 0..MAX_REQUESTS {
            let prompts = match reply {
                Reply::Success => return Ok(AuthResult::Success),
                Reply::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                Reply::InfoRequest { prompts, .. } => prompts,
            };
            let answers = prompts.into_iter().map(|prompt| self.answer_prompt(prompt, &mut password_prompt, password));
            let answers = answers.collect();
            reply = self.client.authenticate_keyboard_interactive_respond(answers).await?;
        }
        Err(russh::Error::Inconsistent)
    }

    /// Returns the answer to a prompt: the password for the first hidden prompt, and an empty text for all others.
    ///
    /// `password_prompt` is the prompt that was answered with the password. If the server repeats it, it has refused
    /// the password. If the server then shows another prompt, it demands something that this probe does not have, such
    /// as a new password: that is recorded in `demand`.
    fn answer_prompt(
        &mut self,
        prompt: Prompt,
        password_prompt: &mut Option<String>,
        password: &SecretString,
    ) -> String {
        let Prompt { prompt, echo } = prompt;
        match password_prompt {
            None if !echo => {
                *password_prompt = Some(prompt);
                return password.expose_secret().to_owned();
            }
            Some(answered) if *answered != prompt => {
                let lower = prompt.to_lowercase();
                let demand = if lower.contains("new ") && lower.contains("password") {
                    Demand::NewPassword
                } else {
                    Demand::Prompt(printable_line(prompt.as_bytes()))
                };
                self.demand.get_or_insert(demand);
            }
            _ => {}
        }
        String::new()
    }
}
