//! The component and the settings that the arguments name.

use std::path::Path;

use sentrynet::config::Source;

use super::super::read;
use crate::logging::print_error;

/// Returns the settings of a component, which are empty if no file of settings is given. Returns `None` if the
/// component does not exist or the settings cannot be read, and prints the error.
pub fn source(probe: &str, settings: Option<&Path>) -> Option<Source> {
    // The path of the component is relative to the working directory, not to the file of the settings.
    let existing_path = std::path::absolute(probe).ok().filter(|path| path.exists());
    let probe = match existing_path {
        Some(path) => path.display().to_string(),
        None if probe.contains(['/', '.']) => {
            print_error(&format!("no file `{probe}`: name a component, or a built-in probe"));
            return None;
        }
        None => probe.to_owned(),
    };
    match settings {
        Some(settings) => {
            let source = read(settings)?;
            if !source.files.is_empty() {
                print_error(&format!(
                    "`{}` is a directory: the settings of a component are one YAML file",
                    source.name
                ));
                return None;
            }
            Some(Source { probe: Some(probe), ..source })
        }
        None => Some(Source::without_settings(probe)),
    }
}

/// Returns the value of an environment variable. The variables of Sentry are left out, so that nothing is sent.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|_| !["SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_SPOTLIGHT"].contains(&name))
}
