//! What an event rests on: it is decided anew if that changes before it is committed.

use journal::ReadError;
use ruma::{
    CanonicalJsonValue, UserId,
    events::{StateEventType, TimelineEventType},
};

use super::{Known, NewEvent, RoomDraft};
use crate::tables;

impl RoomDraft<'_, '_> {
    /// Reads a state key and makes the batch rest on it: it commits only if the key is still as it was read.
    pub(super) fn guard(
        &mut self,
        event_type: &StateEventType,
        state_key: &str,
        is_state: bool,
    ) -> Result<Option<Known>, ReadError> {
        let known = self.known(event_type, state_key)?;
        if is_state {
            self.guard_head()?;
        }
        let written_here = known.as_ref().is_some_and(|known| known.read.is_none());
        if !written_here && self.guarded.insert((event_type.clone(), state_key.to_owned())) {
            let key = self.state_key(event_type, state_key);
            tables::STATE.require(&mut self.draft.batch, &key, known.as_ref().and_then(|known| known.read));
        }
        Ok(known)
    }

    /// Whoever comes into a room has to be there when they do: somebody who is erased meanwhile comes into none any more.
    pub(super) fn guard_newcomer(&mut self, event: &NewEvent) -> Result<(), ReadError> {
        let membership = event.content.get("membership").and_then(CanonicalJsonValue::as_str);
        if event.event_type != TimelineEventType::RoomMember || matches!(membership, Some("leave" | "ban")) {
            return Ok(());
        }
        if let Some(user_id) = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok()) {
            let key = (self.cx().user(&user_id),);
            let version = tables::USERS.get(self.cx().view, &key)?.map(|row| row.version);
            tables::USERS.require(&mut self.draft.batch, &key, version);
        }
        Ok(())
    }

    /// Makes the batch rest on the room's whole state.
    pub(super) fn guard_head(&mut self) -> Result<(), ReadError> {
        if !self.guarded_head {
            let key = (self.room.name,);
            let version = tables::STATE_HEADS.get(self.cx().view, &key)?.map(|row| row.version);
            tables::STATE_HEADS.require(&mut self.draft.batch, &key, version);
            self.guarded_head = true;
        }
        Ok(())
    }
}
