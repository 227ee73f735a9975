//! How long what is said in a room lives: see `docs/decisions/0016-which-lifetime-counts.md`.

use journal::{Class, ReadError, Timestamp};
use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
};

use super::{Pdu, RoomDraft};
use crate::{
    Stop, policy,
    room::{RETENTION, Relation},
    tables,
};

impl RoomDraft<'_, '_> {
    /// How long what is said in the room lives: as long as everybody who is in it or invited keeps text (D11), or less if the room
    /// says so (MSC1763).
    pub(super) fn lifetime_ms(&mut self, pdu: &Pdu) -> Result<u64, Stop> {
        let retention = self.state(&StateEventType::from(RETENTION), "")?;
        let room_ms = retention.and_then(|pdu| pdu.content_field::<u64>("max_lifetime")).unwrap_or(u64::MAX);
        // Nobody keeps text for less than L: most rooms ask for no more, and there nobody has to be looked at.
        if room_ms <= self.cx().server.retention_ms {
            return Ok(room_ms);
        }
        Ok(self.agreed_ms(pdu)?.min(room_ms))
    }

    /// The shortest that the sender, whoever is in the room or invited, and whom the event makes a member keep text for.
    fn agreed_ms(&mut self, pdu: &Pdu) -> Result<u64, Stop> {
        let least_ms = self.cx().server.retention_ms;
        let mut agreed_ms = self.text_retention_ms(&pdu.sender)?;
        if agreed_ms <= least_ms {
            return Ok(agreed_ms);
        }
        let mut readers = self.present()?;
        let target = pdu.state_key.as_deref().filter(|_| pdu.event_type == TimelineEventType::RoomMember);
        readers.extend(target.and_then(|user_id| OwnedUserId::try_from(user_id).ok()));
        for user_id in readers {
            agreed_ms = agreed_ms.min(self.text_retention_ms(&user_id)?);
            if agreed_ms <= least_ms {
                break;
            }
        }
        Ok(agreed_ms)
    }

    /// [`policy::text_retention_ms`], asked once in this draft.
    fn text_retention_ms(&mut self, user_id: &UserId) -> Result<u64, ReadError> {
        if let Some(known_ms) = self.text_retention_ms.get(user_id) {
            return Ok(*known_ms);
        }
        let own_ms = policy::text_retention_ms(&self.cx(), user_id)?;
        self.text_retention_ms.insert(user_id.to_owned(), own_ms);
        Ok(own_ms)
    }

    /// The class of an event, and its end. D1: an edit, a reaction or a poll's answer lives no longer than what it belongs to.
    pub(super) fn end(
        &self,
        pdu: &Pdu,
        relation: Option<&Relation>,
        lifetime_ms: u64,
    ) -> Result<(Class, Timestamp), ReadError> {
        let cx = self.cx();
        let own = cx.now().plus_ms(lifetime_ms);
        let bound = relation.filter(|relation| match relation.rel_type.as_str() {
            "m.replace" | "m.annotation" => true,
            "m.reference" => pdu.event_type.to_string().contains("poll."),
            _ => false,
        });
        let parent = match bound {
            Some(relation) => tables::EVENTS.get(cx.view, &(cx.event(&relation.event_id),))?,
            None => None,
        };
        let expires = parent.map_or(own, |parent| own.min(parent.expires));
        let class =
            if lifetime_ms > cx.server.retention_ms { cx.class_until(expires) } else { cx.text_class_for(lifetime_ms) };
        Ok((class, expires))
    }
}
