//! Tests with random secrets, in all the encodings that other libraries write.

mod cases;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use url::{Url, form_urlencoded};

use super::search::SearchBudget;
use super::{REDACTED, Secrets};

/// The characters that JavaScript's `encodeURIComponent` escapes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

fn random_secret(rng: &mut StdRng) -> String {
    const ALPHABETS: [&str; 4] = [
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "abcXYZ019-_/+=",
        "abcXYZ019\"'\\/%+&=?#<>;:~!$@{}[]() \t\n",
        "abcäßéñ日本語🦀\u{1f600} \"/\\",
    ];
    let alphabet: Vec<char> = ALPHABETS.choose(rng).unwrap().chars().collect();
    let length = rng.random_range(8..40);
    let secret: String = (0..length).map(|_| *alphabet.choose(rng).unwrap()).collect();
    format!("k{secret}z")
}

/// Escapes the characters beyond ASCII by their UTF-16 code units, as JSON does.
fn escaped(text: &str, code_unit: impl Fn(u16) -> String) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        _ => c.encode_utf16(&mut [0; 2]).iter().map(|code| code_unit(*code)).collect(),
    };
    text.chars().map(escape).collect()
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a secret in all encodings.
fn encodings(secret: &str) -> Vec<String> {
    let mut url = Url::parse("https://u@h.example").unwrap();
    url.path_segments_mut().unwrap().push(secret);
    url.query_pairs_mut().append_pair("k", secret);
    url.set_password(Some(secret)).unwrap();
    url.set_fragment(Some(secret));
    let json = serde_json::to_string(secret).unwrap();
    let json = &json[1..json.len() - 1];
    let debug = format!("{secret:?}");
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let mut all = vec![
        secret.to_owned(),
        url.path()[1..].to_owned(),
        url.query().unwrap()[2..].to_owned(),
        url.password().unwrap().to_owned(),
        percent.clone(),
        utf8_percent_encode(secret, COMPONENT).to_string(),
        utf8_percent_encode(&percent, NON_ALPHANUMERIC).to_string(),
        json.to_owned(),
        json.replace('/', "\\/"),
        escaped(secret, |code| format!("\\u{code:04x}")),
        escaped(secret, |code| format!("\\u{code:04X}")),
        escaped(json, |code| format!("\\u{code:04x}")),
        debug[1..debug.len() - 1].to_owned(),
        secret.escape_default().to_string(),
        secret.as_bytes().escape_ascii().to_string(),
        html.replace('\'', "&#39;"),
        html.replace('\'', "&#x27;"),
        hexadecimal(secret),
        hexadecimal(secret).to_uppercase(),
        hexadecimal(secret)
            .as_bytes()
            .chunks(2)
            .map(|byte| format!("%{}", std::str::from_utf8(byte).unwrap()))
            .collect(),
        STANDARD.encode(STANDARD.encode(secret)),
        STANDARD.encode(&form),
        STANDARD.encode(json),
        utf8_percent_encode(&STANDARD.encode(secret), NON_ALPHANUMERIC).to_string(),
        STANDARD.encode(secret).replace('/', "\\/"),
        form,
    ];
    if !secret.ends_with(' ') && !secret.contains("  ") {
        all.push(url.fragment().unwrap().to_owned());
    }
    for engine in [&STANDARD, &URL_SAFE, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        all.push(engine.encode(secret));
    }
    all
}

#[test]
fn secrets_in_latin_1_are_redacted() {
    let secret = "pässwört-gehéim";
    let latin: Vec<u8> = secret.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let misread: String = secret.bytes().map(char::from).collect();
    let percent: String = latin.iter().map(|byte| format!("%{byte:02X}")).collect();
    let secrets = Secrets::new([secret]);
    for form in [
        misread,
        String::from_utf8_lossy(&latin).into_owned(),
        percent,
        STANDARD.encode(&latin),
        r"p\xe4ssw\xf6rt-geh\xe9im".to_owned(),
    ] {
        assert_eq!(secrets.redact(&format!("it is {form}.")), format!("it is {REDACTED}."));
    }
    assert_eq!(Secrets::new(["ääää"]).redact("\u{fffd}\u{fffd}\u{fffd}\u{fffd}"), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
}

#[test]
fn secrets_are_redacted_in_all_encodings() {
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..8 {
        let secret = random_secret(&mut rng);
        let secrets = Secrets::new([&secret, "another-secret"]);
        for encoded in encodings(&secret) {
            for (before, after) in
                [("", ""), ("GET /a b/", "?c"), ("{\"x\":\"", "\",\"y\":\"ünd\"}"), ("Basic ", " 12"), ("x", "")]
            {
                let redacted = secrets.redact(&format!("{before}{encoded}{after}")).into_owned();
                assert_eq!(redacted, format!("{before}{REDACTED}{after}"), "{secret:?} as {encoded:?}");
            }
        }
    }
}

#[test]
fn secrets_are_redacted_inside_longer_base64() {
    let mut rng = StdRng::seed_from_u64(2);
    for round in 0..70 {
        let secret = random_secret(&mut rng);
        let (before, after) = ("user:pass".get(..round % 7).unwrap(), "more".get(..round % 5).unwrap());
        let engine = [&STANDARD, &URL_SAFE, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD][round % 4];
        let encoded = engine.encode(format!("{before}{secret}{after}"));
        let wrapped = encoded.as_bytes().chunks(12).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
        for encoded in [encoded.clone(), wrapped.join("\n"), wrapped.join("\r\n")] {
            let redacted = Secrets::new([&secret]).redact(&format!("h/{encoded} x")).into_owned();
            let (max_before, max_after) = (before.len() * 8 / 6, (after.len() * 8).div_ceil(6) + 4);
            assert!(redacted.len() <= 4 + max_before + REDACTED.len() + max_after, "{secret:?}: {redacted}");
            assert!(redacted.contains(REDACTED), "{secret:?}: {redacted}");
        }
    }
}

#[test]
fn secrets_that_are_cut_off_anywhere_are_redacted() {
    let mut rng = StdRng::seed_from_u64(3);
    let filler = "lorem ipsum dolor sit amet, ".repeat(4);
    for _ in 0..2 {
        let secret = random_secret(&mut rng);
        let secrets = Secrets::new([&secret]);
        for encoded in encodings(&secret).into_iter().step_by(4) {
            let text = format!("{filler}{encoded}");
            for end in (filler.len()..text.len()).filter(|end| text.is_char_boundary(*end)) {
                // Four bytes of a secret have up to 12 characters when escaped, and up to 24 when these are encoded
                // again.
                let max_length = filler.len() + REDACTED.len().max(36);
                for ellipsis in ["", "…", "\"…", "...", "\u{fffd}"] {
                    let redacted = secrets.redact(&format!("{}{ellipsis}", &text[..end])).into_owned();
                    assert!(redacted.len() <= max_length, "{secret:?}: {redacted}");
                }
            }
        }
    }
}

#[test]
fn texts_without_secrets_are_unchanged() {
    let mut rng = StdRng::seed_from_u64(4);
    let secrets = Secrets::new((0..200).map(|_| random_secret(&mut rng)));
    for _ in 0..5 {
        for text in encodings(&random_secret(&mut rng)) {
            assert!(matches!(secrets.redact(&text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
    assert!(Secrets::new(["", " ", "      ", "\n"]).is_empty());
    assert_eq!(Secrets::default().redact("anything"), "anything");
}

/// A target or a guest may send such texts: a search that compared each position with the whole value would take as
/// many steps as both lengths multiplied.
#[test]
fn texts_that_resemble_a_value_everywhere_are_redacted_to_their_end() {
    let secret = format!("{}b", "a".repeat(8000));
    let secrets = Secrets::new([secret.as_str()]);
    let text = format!("x {} y", "a".repeat(100_000));
    let redacted = secrets.redact(&text);
    assert!(redacted.starts_with("x ") && redacted.ends_with(REDACTED), "{} bytes", redacted.len());
    // An ordinary text may have a part of a value here and there.
    let text = format!("{} end", "https://shop.example/other ".repeat(4000));
    assert_eq!(Secrets::new(["https://shop.example/page?token=hunter2-hunter2"]).redact(&text), text);
}

#[test]
fn a_value_between_many_markers_is_redacted() {
    let text = format!("{}hunter2-hunter2 {}", "[Filtered] ".repeat(3000), "Filtered ".repeat(3000));
    let redacted = Secrets::new(["hunter2-hunter2", "Filtered"]).redact(&text).into_owned();
    assert_eq!(redacted, "[Filtered] ".repeat(6001));
}

#[test]
fn the_budget_is_the_ordinary_one_for_ordinary_runs_and_bounded_for_all() {
    assert_eq!(SearchBudget::for_texts(60, 64 << 10), SearchBudget::default());
    for (count, bytes) in [(1, 64 << 20), (1_000_000, 1 << 20), (2000, 4 << 20), (0, 0)] {
        let budget = SearchBudget::for_texts(count, bytes);
        assert!(budget.max_bytes(count, bytes) <= (8 << 20) + 9 * bytes, "{budget:?}");
    }
    // One level of encodings is searched even in the largest run.
    let secrets = Secrets::new(["hunter2-hunter2"]).with_budget(SearchBudget::for_texts(100_000, 100 << 20));
    let text = "a b c ".repeat(100) + &STANDARD.encode("hunter2-hunter2") + &" a b c".repeat(100);
    assert_eq!(secrets.redact(&text).matches(REDACTED).count(), 1);
}
