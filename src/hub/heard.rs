//! What connections hear of a burst. Most hear the same, so their frames are put together once for all of them: a queue
//! then takes one piece instead of a frame for each event, and a socket one buffer that nobody has to gather.

use super::{SharedFrame, delivery::Telling};

/// Lists of frames that are remembered within a burst: those of the usual audiences. Who has others gathers their own.
const ALIKE_MAX: usize = 8;

/// What one connection hears.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Which events of the burst, each in which encoding.
    parts: Vec<(usize, usize)>,
    /// What it is told last.
    farewell: Option<SharedFrame>,
}

impl Heard {
    /// An event in one of its encodings, or in none.
    pub(super) fn add(&mut self, place: usize, encoding: Option<usize>) {
        self.parts
            .extend(encoding.map(|encoding| (place, encoding)));
    }

    /// The last frame, if there is one.
    pub(super) fn last(&mut self, farewell: Option<SharedFrame>) {
        self.farewell = farewell;
    }

    /// How many frames it is.
    pub(super) fn len(&self) -> usize {
        self.parts.len() + usize::from(self.farewell.is_some())
    }

    /// Takes the frames out, one by one.
    pub(super) fn take(&mut self, burst: &[Telling], into: &mut Vec<SharedFrame>) {
        into.extend(frames(&self.parts, burst));
        self.take_last(into);
    }

    fn take_last(&mut self, into: &mut Vec<SharedFrame>) {
        self.parts.clear();
        into.extend(self.farewell.take());
    }
}

/// What several connections hear alike.
#[derive(Debug, Default)]
pub(super) struct Alike(Vec<Common>);

/// Parts that somebody heard, and their frames put together once somebody else does.
#[derive(Debug)]
struct Common {
    parts: Vec<(usize, usize)>,
    joined: Option<Vec<SharedFrame>>,
}

impl Alike {
    /// Takes the frames of what was heard out of it.
    pub(super) fn take(
        &mut self,
        heard: &mut Heard,
        burst: &[Telling],
        into: &mut Vec<SharedFrame>,
    ) {
        if heard.parts.len() < 2 {
            return heard.take(burst, into);
        }
        if let Some(common) = self.0.iter_mut().find(|common| common.parts == heard.parts) {
            let joined = common
                .joined
                .get_or_insert_with(|| SharedFrame::joined(frames(&heard.parts, burst).collect()));
            into.extend(joined.iter().cloned());
            return heard.take_last(into);
        }
        if self.0.len() < ALIKE_MAX {
            self.0.push(Common {
                parts: heard.parts.clone(),
                joined: None,
            });
        }
        heard.take(burst, into);
    }
}

fn frames<'a>(
    parts: &'a [(usize, usize)],
    burst: &'a [Telling],
) -> impl Iterator<Item = SharedFrame> + 'a {
    parts
        .iter()
        .filter_map(|(place, encoding)| burst.get(*place)?.frame(*encoding))
}
