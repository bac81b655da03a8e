//! Every setting of the service: its name, default, unit and check. A setting is a flag of
//! `tertulia serve` and an environment variable `TERTULIA_<NAME>`; a `.env` file in the working
//! directory counts as environment. An empty variable counts as unset.
//!
//! One entry here is all that a setting needs: the flag, the variable, the help and the checks of
//! README's table follow from it. Rooms are handed values; only `service.rs` and `cli/` read this.

pub mod descriptors;
pub mod environment;
mod groups;
mod kinds;
mod units;

use clap::{Args, CommandFactory, FromArgMatches, Parser};

pub use groups::{
    Accounts, Connections, Django, Layer, Limits, Listening, Logging, Mail, Passwords, Storage,
    Tokens,
};
pub use kinds::{
    Bind, ConnectionRule, DatabaseUrl, JwtAlgorithm, LayerForm, LayerUrl, LogFormat,
    PasswordHasher, Registration, RootDialect, Secret, SocketLife, UserDirectory, UsersOf,
};

/// All settings, in the groups that the help shows.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where the service listens, and whom it believes.
    #[command(flatten)]
    pub listening: Listening,
    /// Where everything is kept.
    #[command(flatten)]
    pub storage: Storage,
    /// How nodes hear of each other.
    #[command(flatten)]
    pub layer: Layer,
    /// By whom mail is sent.
    #[command(flatten)]
    pub mail: Mail,
    /// How sign-ins are signed and how long they last.
    #[command(flatten)]
    pub tokens: Tokens,
    /// Who may have an account.
    #[command(flatten)]
    pub accounts: Accounts,
    /// A Django project beside the service.
    #[command(flatten)]
    pub django: Django,
    /// What passwords cost.
    #[command(flatten)]
    pub passwords: Passwords,
    /// How much a user may do.
    #[command(flatten)]
    pub limits: Limits,
    /// What a connection may hold.
    #[command(flatten)]
    pub connections: Connections,
    /// What is logged, and how.
    #[command(flatten)]
    pub logging: Logging,
}

/// A setting whose value can't be used, told by its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", environment::variable(.setting))]
pub struct SettingsError {
    /// The setting's name in the struct, such as `password_cost`.
    pub setting: String,
    /// What is wrong, as the end of a sentence that the value or the setting begins.
    pub problem: String,
}

impl SettingsError {
    fn new(setting: &str, problem: impl Into<String>) -> Self {
        let (setting, problem) = (setting.to_owned(), problem.into());
        Self { setting, problem }
    }
}

impl Layer {
    fn check(&self, tokens: &Tokens) -> Result<(), SettingsError> {
        let forms: Vec<_> = self.layer_url.iter().map(LayerUrl::form).collect();
        if forms
            .windows(2)
            .any(|two| two[0] != two[1] || two[0].is_none())
        {
            let problem = "several servers are needed in one form: all pubsub, or all core";
            return Err(SettingsError::new("layer_url", problem));
        }
        let has_secret = tokens.secret_key.is_some() || tokens.secret_key_file.is_some();
        if self.is_shared() && !has_secret {
            let problem = "nodes that share a channel layer need one key: give it in TERTULIA_SECRET_KEY or \
                           TERTULIA_SECRET_KEY_FILE";
            return Err(SettingsError::new("layer_url", problem));
        }
        Ok(())
    }

    /// Whether other nodes, or a Django project, may be on it.
    pub fn is_shared(&self) -> bool {
        self.layer_url.iter().any(|url| url.form().is_some())
    }
}

/// Settings alone, for whoever has no command line.
#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    settings: Settings,
}

impl Settings {
    /// The defaults, whatever the environment holds: what a test or a program that embeds the
    /// service starts from.
    pub fn defaults() -> Self {
        let nothing_given = Alone::command().get_matches_from(["tertulia"]);
        match Alone::from_arg_matches(&nothing_given) {
            Ok(alone) => alone.settings,
            Err(error) => error.exit(),
        }
    }

    /// The checks that look at more than one setting. Each value alone was checked as it was read.
    pub fn check(&self) -> Result<(), SettingsError> {
        let tokens = &self.tokens;
        if tokens.secret_key.is_some() && tokens.secret_key_file.is_some() {
            let problem = "give the key here or in TERTULIA_SECRET_KEY_FILE, not both";
            return Err(SettingsError::new("secret_key", problem));
        }
        if tokens.refresh_token_lifetime < tokens.access_token_lifetime {
            let problem = "is shorter than TERTULIA_ACCESS_TOKEN_LIFETIME";
            return Err(SettingsError::new("refresh_token_lifetime", problem));
        }
        if !tokens.jwt_algorithm.is_symmetric() && tokens.jwt_public_key_file.is_none() {
            let problem = "this algorithm verifies with a public key: name its PEM file in \
                           TERTULIA_JWT_PUBLIC_KEY_FILE";
            return Err(SettingsError::new("jwt_algorithm", problem));
        }
        self.layer.check(tokens)?;
        if self.mail.smtp_url.is_some() != self.mail.mail_from.is_some() {
            let problem = "mail needs this and TERTULIA_SMTP_URL, both";
            return Err(SettingsError::new("mail_from", problem));
        }
        let listening = &self.listening;
        if listening.tls_cert.is_some() != listening.tls_key.is_some() {
            let problem = "TLS needs this and TERTULIA_TLS_KEY, both";
            return Err(SettingsError::new("tls_cert", problem));
        }
        let connections = &self.connections;
        if connections.queue_total < connections.queue_bytes {
            let problem = "is less than TERTULIA_QUEUE_BYTES, the bound of one connection";
            return Err(SettingsError::new("queue_total", problem));
        }
        Ok(())
    }

    /// What is allowed, but not what one should run in production.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.passwords.password_cost < 10 {
            let cost = self.passwords.password_cost;
            warnings.push(format!(
                "TERTULIA_PASSWORD_COST: {cost} makes stolen hashes cheap to guess, use 10 or more"
            ));
        }
        if let Some(secret) = &self.tokens.secret_key
            && self.tokens.jwt_algorithm.is_symmetric()
            && secret.reveal().len() < 32
        {
            warnings.push(
                "TERTULIA_SECRET_KEY: shorter than 32 bytes, tokens signed with it can be forged \
                 by guessing"
                    .to_owned(),
            );
        }
        warnings
    }

    /// The names of all settings, as the struct spells them, with their defaults as the help shows
    /// them.
    pub fn documented() -> Vec<(String, Option<String>)> {
        Alone::command()
            .get_arguments()
            .map(|setting| {
                let default = setting
                    .get_default_values()
                    .first()
                    .map(|value| value.to_string_lossy().into_owned());
                (setting.get_id().to_string(), default)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;

    fn given(arguments: &[&str]) -> Result<Settings, clap::Error> {
        let argv = ["tertulia"].iter().chain(arguments);
        Alone::try_parse_from(argv).map(|alone| alone.settings)
    }

    fn refusal(arguments: &[&str]) -> String {
        match given(arguments) {
            Ok(settings) => settings.check().err().map(|error| error.to_string()),
            Err(error) => environment::settings_error(&error).map(|error| error.to_string()),
        }
        .unwrap_or_else(|| panic!("{arguments:?} should be refused"))
    }

    #[test]
    fn without_any_setting_the_service_listens_on_loopback_and_keeps_to_the_documented_limits() {
        let settings = Settings::defaults();
        assert_eq!(settings.listening.bind[0].to_string(), "127.0.0.1:8000");
        assert_eq!(settings.limits.message_chars, 1000);
        assert_eq!(settings.limits.messages_per_minute, 10);
        assert_eq!(settings.connections.frame_bytes, 64 * 1024);
        assert_eq!(settings.connections.queue_total, 256 * 1024 * 1024);
        assert_eq!(settings.listening.drain, Duration::from_secs(5));
        assert!(settings.limits.members_add);
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.warnings(), Vec::<String>::new());
    }

    #[test]
    fn a_bad_value_is_refused_by_the_settings_name() {
        let cost = "TERTULIA_PASSWORD_COST: 3 is not between 4 and 15";
        assert_eq!(refusal(&["--password-cost", "3"]), cost);
        assert_eq!(
            refusal(&["--access-token-lifetime", "15"]),
            "TERTULIA_ACCESS_TOKEN_LIFETIME: \"15\" is not a duration such as 500ms, 10s, 15m, 24h or 30d"
        );
        assert_eq!(
            refusal(&["--registration", "maybe"]),
            "TERTULIA_REGISTRATION: \"maybe\" is not one of open, staff, closed"
        );
        assert_eq!(
            refusal(&["--bind", "localhost"]),
            "TERTULIA_BIND: \"localhost\" is neither an address with a port such as 127.0.0.1:8000 nor unix:/path"
        );
        assert_eq!(
            refusal(&["--log", "tertulia=loud"]),
            "TERTULIA_LOG: \"tertulia=loud\" is not a filter such as info or info,tertulia=debug"
        );
    }

    #[test]
    fn what_contradicts_another_setting_is_refused() {
        let both = refusal(&["--secret-key", "k", "--secret-key-file", "/k"]);
        assert!(both.starts_with("TERTULIA_SECRET_KEY: "), "{both}");
        let short = refusal(&["--refresh-token-lifetime", "1m"]);
        assert!(
            short.starts_with("TERTULIA_REFRESH_TOKEN_LIFETIME: "),
            "{short}"
        );
        let claim = refusal(&["--user-id-claim", "jti"]);
        assert!(claim.starts_with("TERTULIA_USER_ID_CLAIM: "), "{claim}");
        let keyless = refusal(&["--jwt-algorithm", "RS256"]);
        assert!(keyless.starts_with("TERTULIA_JWT_ALGORITHM: "), "{keyless}");
        let mail = refusal(&["--smtp-url", "smtp://localhost"]);
        assert!(mail.starts_with("TERTULIA_MAIL_FROM: "), "{mail}");
        let tls = refusal(&["--tls-cert", "/certificate.pem"]);
        assert!(tls.starts_with("TERTULIA_TLS_CERT: "), "{tls}");
        let queue = refusal(&["--queue-total", "1KiB"]);
        assert!(queue.starts_with("TERTULIA_QUEUE_TOTAL: "), "{queue}");
    }

    #[test]
    fn the_channel_layer_is_of_one_form_and_needs_a_key_that_nodes_share() {
        let refused = |arguments: &[&str], why: &str| {
            let told = refusal(arguments);
            assert!(
                told.starts_with("TERTULIA_LAYER_URL: ") && told.contains(why),
                "{told}"
            );
            assert!(!told.contains("hunter2"), "{told}");
        };
        refused(
            &["--layer-url", "redis://:hunter2@cache"],
            "TERTULIA_SECRET_KEY_FILE",
        );
        refused(
            &["--layer-url", "redis+ring://:hunter2@cache"],
            "redis+ring://",
        );
        refused(
            &["--layer-url", "redis://:hunter2@cache/none"],
            "database number",
        );
        refused(&["--layer-url", "cache:6379"], "URL");
        let key = ["--secret-key", "a key of thirty-two bytes or more"];
        let with = |urls: &'static str| [&key[..], &["--layer-url", urls]].concat();
        refused(&with("redis://one,redis+core://two"), "one form");
        refused(&with("memory://,redis://two"), "one form");
        for urls in [
            "redis://one,redis+pubsub://two:6380/1",
            "rediss+core://:hunter2@one,unix+core:///run/redis.sock?db=1",
        ] {
            let settings = given(&with(urls)).unwrap();
            assert_eq!(settings.check(), Ok(()));
            assert!(settings.layer.is_shared() && !format!("{settings:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_cheap_hash_and_a_short_secret_are_warned_of() {
        let cheap = given(&["--password-cost", "4", "--secret-key", "short"]);
        assert_eq!(
            cheap.map(|settings| settings.warnings().len()).ok(),
            Some(2)
        );
    }

    #[test]
    fn the_secret_is_not_in_what_is_printed_for_debugging() {
        let settings = given(&["--secret-key", "hunter2-hunter2"]).map(|it| format!("{it:?}"));
        assert!(settings.is_ok_and(|text| !text.contains("hunter2")));
    }

    #[test]
    fn the_readme_names_every_setting_with_its_default_and_no_other() {
        let readme = include_str!("../README.md");
        let table = readme
            .split("| setting | default |")
            .nth(1)
            .unwrap_or_default();
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        let told = rows.flat_map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let default = cells[2].trim_matches('`').to_owned();
            let names = cells[1].split(", ");
            names
                .map(|name| (name.trim_matches('`').to_lowercase(), default.clone()))
                .collect::<Vec<_>>()
        });
        let documented = Settings::documented()
            .into_iter()
            .map(|(name, default)| (name, default.unwrap_or_else(|| "none".to_owned())));
        let sorted = |settings: Vec<_>| BTreeSet::from_iter(settings);
        assert_eq!(sorted(told.collect()), sorted(documented.collect()));
    }
}
