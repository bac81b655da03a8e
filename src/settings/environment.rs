//! Settings as environment variables: which variable gives which setting, what is said about one
//! that no setting knows, and how a value that was refused is told by its variable's name.

use std::collections::BTreeSet;

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Settings, SettingsError};

const PREFIX: &str = "TERTULIA_";
/// Further away than this, a name is another word and not a slip of the finger.
const SLIPS_MAX: usize = 3;

/// The variable that gives a setting.
pub fn variable(setting: &str) -> String {
    format!("{PREFIX}{}", setting.to_ascii_uppercase())
}

/// Lets the variables give those flags of `command` and its subcommands that are settings. Their
/// values are kept out of the help, since some are secrets.
pub fn attach(command: Command) -> Command {
    let settings = names();
    attach_to(command, &settings)
}

fn attach_to(command: Command, settings: &BTreeSet<String>) -> Command {
    command
        .mut_args(|flag| {
            let setting = flag.get_id().to_string();
            let variable = variable(&setting);
            let is_empty = std::env::var_os(&variable).is_some_and(|value| value.is_empty());
            if !settings.contains(&setting) || is_empty {
                return flag;
            }
            flag.env(variable).hide_env_values(true)
        })
        .mut_subcommands(|subcommand| attach_to(subcommand, settings))
}

/// One line for each variable that looks like a setting and is none.
pub fn unknown_variables(variables: impl Iterator<Item = String>) -> Vec<String> {
    let settings = names();
    let unknown = variables.filter_map(|name| {
        let setting = name.strip_prefix(PREFIX)?;
        let is_known = variable_is_known(setting, &settings);
        (!is_known).then(|| warning(&name, &settings))
    });
    unknown.collect()
}

fn variable_is_known(setting: &str, settings: &BTreeSet<String>) -> bool {
    settings
        .iter()
        .any(|name| name.to_ascii_uppercase() == setting)
}

fn warning(name: &str, settings: &BTreeSet<String>) -> String {
    let nearest = settings
        .iter()
        .map(|setting| variable(setting))
        .map(|variable| (strsim::damerau_levenshtein(&variable, name), variable))
        .min()
        .filter(|(slips, _)| *slips <= SLIPS_MAX);
    match nearest {
        Some((_, nearest)) => format!("{name} is not a setting; {nearest} is"),
        None => format!("{name} is not a setting; `tertulia help` lists them"),
    }
}

fn names() -> BTreeSet<String> {
    Settings::documented()
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

/// What a parser said against a value, as an error that names the setting. None where `error` is
/// about something else, such as an unknown flag.
pub fn settings_error(error: &clap::Error) -> Option<SettingsError> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?;
    let (flag, _) = flag.split_once([' ', '=']).unwrap_or((flag, ""));
    let setting = flag.strip_prefix("--")?.replace('-', "_");
    if !names().contains(&setting) {
        return None;
    }
    let problem = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, _) => {
            let cause = std::error::Error::source(error)?;
            cause.to_string()
        }
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(words))) => {
            let given = text(ContextKind::InvalidValue).unwrap_or_default();
            format!("{given:?} is not one of {}", words.join(", "))
        }
        _ => return None,
    };
    Some(SettingsError::new(&setting, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_told_the_name_that_was_meant() {
        let variables = ["TERTULIA_PASWORD_COST", "TERTULIA_BIND", "HOME"];
        let warnings = unknown_variables(variables.map(String::from).into_iter());
        let meant = "TERTULIA_PASWORD_COST is not a setting; TERTULIA_PASSWORD_COST is";
        assert_eq!(warnings, [meant]);
    }

    #[test]
    fn a_name_that_is_like_none_is_told_where_they_are_listed() {
        let warnings = unknown_variables(["TERTULIA_COLOUR_OF_THE_SKY".to_owned()].into_iter());
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].ends_with("`tertulia help` lists them"),
            "{warnings:?}"
        );
    }
}
