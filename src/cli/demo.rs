//! `demo`: serves something to look at, from a directory that is gone afterwards.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use entity::{ChatId, ChatKind, ContentType};
use uuid::Uuid;

use super::{Outcome, print, serve};
use crate::{
    chat::{Actor, ChatError, Domain, NewChat, NewUser, SendMessage},
    logging,
    service::Service,
    settings::{Listening, Logging, Settings},
};

/// Who is there, and what they are called.
const PEOPLE: [(&str, &str, &str); 2] = [("anna", "Anna", "Sorokina"), ("boris", "Boris", "Weiss")];
/// Who says what in their group.
const TALK: [(usize, &str); 6] = [
    (0, "Good morning! Shall we go to the lake on Saturday?"),
    (1, "Gladly. I'll bring the tent."),
    (0, "The train leaves at 8:40, platform 3."),
    (1, "Я возьму чай и бутерброды 🙂"),
    (0, "Perfect. Who asks Clara?"),
    (1, "I do."),
];

/// `tertulia demo`.
#[derive(Args, Debug)]
pub struct Demo {
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    logging: Logging,
}

/// A directory that is removed with everything in it.
struct Passing(PathBuf);

impl Passing {
    fn make() -> io::Result<Self> {
        let name = format!("tertulia-demo-{}", Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(cause) = fs::remove_dir_all(&self.0) {
            eprintln!("tertulia: {} is still there: {cause}", self.0.display());
        }
    }
}

impl Demo {
    pub(super) async fn run(self) -> Outcome {
        logging::start(&self.logging);
        let mut signals = serve::Signals::listen()?;
        let dir = Passing::make()?;
        let mut settings = Settings::defaults();
        settings.listening = self.listening;
        settings.listening.drain = Duration::from_millis(200);
        settings.storage.data_dir = dir.path().join("data");
        let service = tokio::select! {
            service = Service::start(settings) => service?,
            _ = signals.next() => return Ok(()),
        };
        let passwords = match furnish(service.domain()).await {
            Ok(passwords) => passwords,
            Err(error) => {
                service.stop().await;
                return Err(error);
            }
        };
        let addresses: Vec<_> = service
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut told = String::new();
        for address in &addresses {
            told += &format!("Open http://{address}/ and http://{address}/swagger/\n");
        }
        for ((name, ..), password) in PEOPLE.iter().zip(&passwords) {
            told += &format!("Sign in as {name} with the password {password}\n");
        }
        print(&(told + "Ctrl-C ends it, and leaves nothing behind\n"))?;
        serve::until_told(service, signals, None).await;
        Ok(())
    }
}

/// Makes the people, their chats and what they have said; their passwords come back.
async fn furnish(
    domain: &Arc<Domain>,
) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
    let (mut people, mut passwords) = (Vec::new(), Vec::new());
    for (username, first_name, last_name) in PEOPLE {
        let password = format!("demo-{}", &Uuid::new_v4().simple().to_string()[..10]);
        let new = NewUser {
            username: username.to_owned(),
            password: password.clone(),
            first_name: first_name.to_owned(),
            last_name: last_name.to_owned(),
            ..NewUser::default()
        };
        let registered = domain.users.register(None, new, None).await;
        let account = registered.map_err(|mut errors| errors.swap_remove(0))?;
        passwords.push(password);
        people.push(Actor {
            user: account.profile,
            is_staff: false,
            session: None,
            token_expires_at: domain.now(),
            token_issued_at: None,
            connection: None,
        });
    }
    let group = opens(domain, &people, ChatKind::Group, Some("Weekend")).await?;
    for (who, text) in TALK {
        says(domain, &people[who], group, text).await?;
    }
    let pair = opens(domain, &people, ChatKind::Personal, None).await?;
    says(
        domain,
        &people[1],
        pair,
        "Hi Anna, this is just between us.",
    )
    .await?;
    Ok(passwords)
}

/// A chat of the first one with the others.
async fn opens(
    domain: &Domain,
    people: &[Actor],
    kind: ChatKind,
    name: Option<&str>,
) -> Result<ChatId, ChatError> {
    let chat = NewChat {
        kind,
        name: name.map(str::to_owned),
        members: people[1..].iter().map(Actor::id).collect(),
        is_private: false,
    };
    Ok(domain.chats.create(&people[0], chat).await?.chat.head.id)
}

async fn says(domain: &Domain, who: &Actor, chat: ChatId, text: &str) -> Result<(), ChatError> {
    let send = SendMessage {
        chat,
        text: text.to_owned(),
        client_id: None,
        reply_to: None,
        content_type: ContentType::Text,
    };
    domain.messages.send(who, send).await.map(drop)
}
