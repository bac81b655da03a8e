//! The channel layer that the settings ask for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::warn;
use uuid::Uuid;

use super::StartError;
use crate::{
    hub::ToDjango,
    layer::{ChannelLayer, CoreLayer, MemoryLayer, PubSubLayer, RedisOptions},
    rest::Check,
    settings::{Layer, LayerForm, LayerUrl, SettingsError},
    store::{Store, Uploads},
};

/// The file in the directory of uploads that shows whose it is.
pub(super) const MARK: &str = "deployment-mark";
/// For how long a node waits for another one, which has just made the mark, to write it.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

/// Refuses to serve beside other nodes with a directory of uploads that isn't theirs.
pub(super) async fn check_uploads(store: &Store, uploads: &Uploads) -> Result<(), StartError> {
    let began = Instant::now();
    let fresh = Uuid::new_v4().simple().to_string();
    loop {
        let here = uploads.read(MARK).await?;
        let here = here.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let mark = store
            .deployment_mark(here.as_ref().unwrap_or(&fresh))
            .await?;
        match here {
            Some(here) if here == mark => return Ok(()),
            None if mark == fresh => {
                uploads.put(MARK, mark.as_bytes()).await?;
                return Ok(());
            }
            None if began.elapsed() < WRITTEN_WITHIN => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Some(_) | None => {
                let dir = uploads.dir().to_owned();
                return Err(StartError::Uploads { dir, mark });
            }
        }
    }
}

/// Opens it. A Redis that is away is waited for while serving.
pub(super) async fn open(settings: &Layer) -> Result<Arc<dyn ChannelLayer>, StartError> {
    let mut addresses = Vec::new();
    let mut form = None;
    for url in &settings.layer_url {
        if let LayerUrl::Redis(this, url) = url {
            let address = url.reveal().parse();
            let address = address.map_err(|error| wrong("layer_url", format!("{error}")))?;
            addresses.push(address);
            form = Some(*this);
        }
    }
    let keys = settings.layer_encryption_keys.iter();
    let options = RedisOptions {
        addresses,
        prefix: settings.layer_prefix.clone(),
        encryption_keys: keys.map(|key| key.reveal().to_owned()).collect(),
    };
    let layer: Arc<dyn ChannelLayer> = match form {
        None => Arc::new(MemoryLayer::default()),
        Some(LayerForm::PubSub) => Arc::new(PubSubLayer::open(options).await),
        Some(LayerForm::Core) => Arc::new(CoreLayer::open(options).await),
    };
    if !layer.is_up() {
        warn!("the channel layer is away; this node serves without it until it comes");
    }
    Ok(layer)
}

/// What a Django project is told.
pub(super) fn to_django(settings: &Layer) -> Result<ToDjango, StartError> {
    let known = ToDjango::events();
    for event in &settings.layer_events {
        if !known.contains(&event.as_str()) {
            let problem = format!("{event:?} is not one of {}", known.join(", "));
            return Err(wrong("layer_events", problem));
        }
    }
    Ok(ToDjango {
        group: settings.layer_group.clone(),
        events: settings.layer_events.iter().cloned().collect(),
    })
}

/// Whether it answers.
pub(super) fn check(layer: Arc<dyn ChannelLayer>) -> Check {
    Check {
        name: "layer",
        run: Box::new(move || {
            let is_up = layer.is_up();
            Box::pin(async move { is_up.then_some(()).ok_or_else(|| "away".to_owned()) })
        }),
    }
}

fn wrong(setting: &str, problem: String) -> StartError {
    let setting = setting.to_owned();
    SettingsError { setting, problem }.into()
}
