//! The names of streams: listing and renaming.

use ledger_core::{Error, StreamName};

use super::read::view::View;
use super::shared::Shared;
use super::streams::StreamState;
use super::write::writer::{Changed, Subject, Turn};
use crate::disk::Patience;
use crate::error::Result;
use crate::format::Record;

/// How many names are looked at in one go.
const NAMES_MAX: usize = if cfg!(test) { 2 } else { 256 };

impl Shared {
    /// The log and a stream in it, as readers see both at one moment. None: there is no such stream.
    pub(super) fn seen(
        &self,
        name: &StreamName,
        patience: Patience,
    ) -> Result<(View<'_>, Option<StreamState>)> {
        self.refresh(patience)?;
        let (view, state, end) = {
            let scene = self.scene();
            let state = scene.streams.state(name);
            let picture = std::sync::Arc::clone(&scene.picture);
            let view = View::new(self, picture, scene.visible, patience);
            (view, state, scene.end)
        };
        if state.is_some() {
            return Ok((view, state));
        }
        let state = view.stream(name.as_str())?;
        if let Some(state) = state {
            self.remember(name, state, end);
        }
        Ok((view, state))
    }

    /// Remembers a stream, unless anything was written since it was looked up.
    fn remember(&self, name: &StreamName, state: StreamState, end: crate::format::Position) {
        let mut scene = self.scene_mut();
        if scene.end == end && scene.visible == end && scene.streams.state(name).is_none() {
            scene.streams.insert(name.clone(), state);
        }
    }

    /// Lists up to `limit` streams that hold entries, behind the name `after`.
    pub(super) fn list(
        &self,
        after: Option<&StreamName>,
        limit: usize,
        patience: Patience,
    ) -> Result<Vec<StreamName>> {
        self.refresh(patience)?;
        let mut listed = Vec::new();
        let mut after = after.map(|name| name.as_str().to_owned());
        while listed.len() < limit {
            let names = {
                let view = self.view(patience);
                view.look().names(after.as_deref(), NAMES_MAX)?
            };
            after = names.last().cloned();
            let is_last = names.len() < NAMES_MAX;
            for name in names {
                let name = StreamName::from(name);
                let (_, state) = self.seen(&name, patience)?;
                if state.is_some_and(|state| state.first().is_some()) {
                    listed.push(name);
                }
            }
            if is_last {
                break;
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }

    /// Renames a stream.
    pub(super) fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        let mut turn = self.turn(Patience::Wait)?;
        let now = self.now();
        let subject = turn.find(from)?.filter(|subject| subject.state.head > 0);
        let Some(subject) = subject else {
            return Err(Error::StreamNotFound {
                stream: from.clone(),
            }
            .into());
        };
        if from == to {
            return Ok(());
        }
        if let Some(other) = turn.find(to)?
            && turn.is_in_use(&other)?
        {
            return Err(Error::StreamExists { stream: to.clone() }.into());
        }
        let record = Record::Rename {
            stream: subject.state.number,
            from: from.as_str(),
            to: to.as_str(),
        };
        turn.commit(now, &[record], Changed::new())?;
        turn.forget(from);
        turn.forget(to);
        self.followers.wake(to);
        Ok(())
    }
}

impl Turn<'_> {
    /// Whether nobody else may have the stream's name.
    fn is_in_use(&self, subject: &Subject) -> Result<bool> {
        if subject.state.head > 0 {
            return Ok(true);
        }
        let view = self.view();
        Ok(!super::checkpoints::list(&view, subject.state.number, None, 1)?.is_empty())
    }

    /// Forgets what is remembered under `name`, which means something else from now on.
    fn forget(&mut self, name: &StreamName) {
        self.shared.scene_mut().streams.remove(name);
        self.writer.last = None;
        self.writer.recall = None;
    }
}
