//! What one user may see of one room's events
//! ([spec v1.19, Client-Server API § Room history visibility](https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility)).
//!
//! Exact: an event is judged by the room's history visibility and the user's membership as they were when it was sent.
//! Most events come after the last change of either, and need no look at what was before.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use journal::{ReadError, Stamp};
use ruma::{
    OwnedUserId, RoomId, UserId,
    events::{
        StateEventType, TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};
use serde::Deserialize;

use super::{Pdu, Room, get_room};
use crate::{
    Cx, Reject, Stop,
    tables::{self, TimelineRow},
};

/// A user looking at a room.
#[derive(Debug)]
pub struct Viewer {
    /// The room.
    pub room: Room,
    /// Who looks.
    pub user_id: OwnedUserId,
    /// What the user is to the room now; `leave` for one who never was anything.
    pub membership: MembershipState,
    /// Since when.
    pub since: Stamp,
    /// When the user was last put out of the room or left it, for somebody who isn't in it: an invitation or a knock after that shows
    /// nothing more, and takes nothing away.
    left: Stamp,
    visibility: HistoryVisibility,
    visibility_since: Stamp,
    past: OnceCell<Past>,
    closings: RefCell<BTreeMap<OwnedUserId, Option<Stamp>>>,
}

/// What the user and the visibility were, with the stamps from which they were that, oldest first, the present included.
#[derive(Debug)]
struct Past {
    memberships: Vec<(Stamp, MembershipState)>,
    visibilities: Vec<(Stamp, HistoryVisibility)>,
}

impl Viewer {
    /// The user, looking at the room. Whether there is anything to see for them is asked with [`Viewer::may_read`].
    ///
    /// # Errors
    /// `M_FORBIDDEN` when there is no such room: nobody outside is told which rooms there are.
    pub fn new(cx: &Cx<'_>, room_id: &RoomId, user_id: &UserId) -> Result<Self, Stop> {
        let room = get_room(cx, room_id).map_err(|stop| match stop {
            Stop::Reject(Reject::NotFound(_)) => not_a_member().into(),
            other => other,
        })?;
        let (membership, since) = match tables::MEMBERS.get(cx.view, &(room.name, cx.user(user_id)))? {
            Some(row) => (row.value.membership.clone(), Stamp::of_row(row.version, row.value.index)),
            None => (MembershipState::Leave, Stamp::ZERO),
        };
        let visibility_key = (room.name, cx.name("m.room.history_visibility"), cx.name(""));
        let (visibility, visibility_since) = match tables::STATE.get(cx.view, &visibility_key)? {
            Some(row) => (visibility_of(&row.value.pdu), row.value.stamp(row.version)),
            None => (HistoryVisibility::Shared, Stamp::ZERO),
        };
        let user_id = user_id.to_owned();
        let (past, closings) = Default::default();
        let mut viewer =
            Self { room, user_id, membership, since, left: since, visibility, visibility_since, past, closings };
        if matches!(viewer.membership, MembershipState::Invite | MembershipState::Knock) {
            let outside = |membership: &MembershipState| matches!(membership, MembershipState::Leave | MembershipState::Ban);
            let left = viewer.past(cx)?.memberships.iter().rev().find(|(_, membership)| outside(membership));
            viewer.left = left.map_or(since, |(left, _)| *left);
        }
        Ok(viewer)
    }

    /// The user, looking at a room that they may read.
    ///
    /// # Errors
    /// `M_FORBIDDEN` when they may not.
    pub fn reader(cx: &Cx<'_>, room_id: &RoomId, user_id: &UserId) -> Result<Self, Stop> {
        let viewer = Self::new(cx, room_id, user_id)?;
        if viewer.may_read(cx)? { Ok(viewer) } else { Err(not_a_member().into()) }
    }

    /// Whether the user is in the room, or was and has not forgotten it, or anybody may read it.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn may_read(&self, cx: &Cx<'_>) -> Result<bool, ReadError> {
        match self.membership {
            MembershipState::Join => Ok(true),
            _ if self.visibility == HistoryVisibility::WorldReadable => Ok(true),
            _ if self.since != Stamp::ZERO => {
                let kept = tables::MEMBERSHIPS.exists(cx.view, &(cx.user(&self.user_id), self.room.name))?;
                Ok(kept && self.joined_since(cx, Stamp::ZERO)?)
            }
            _ => Ok(false),
        }
    }

    /// The last moment the user can see anything of; [`Stamp::MAX`] for members, and for rooms that anybody may read.
    #[must_use]
    pub fn end(&self) -> Stamp {
        let open = self.membership == MembershipState::Join || self.visibility == HistoryVisibility::WorldReadable;
        if open { Stamp::MAX } else { self.left }
    }

    /// Whether the user is in the room or has been, as far as its history still tells.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn has_been_in(&self, cx: &Cx<'_>) -> Result<bool, ReadError> {
        Ok(self.membership == MembershipState::Join || self.joined_since(cx, Stamp::ZERO)?)
    }

    /// What the user was to the room just before `stamp`.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn membership_before(&self, cx: &Cx<'_>, stamp: Stamp) -> Result<MembershipState, ReadError> {
        if self.since < stamp {
            return Ok(self.membership.clone());
        }
        let found = self.past(cx)?.memberships.iter().rev().find(|(since, _)| *since < stamp);
        Ok(found.map_or(MembershipState::Leave, |(_, membership)| membership.clone()))
    }

    /// What the user was to the room when the event at `stamp` was sent; for the user's own member event, what it made
    /// of them (`unsigned.membership`, spec v1.11).
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn membership_at(&self, cx: &Cx<'_>, stamp: Stamp, pdu: &Pdu) -> Result<MembershipState, ReadError> {
        let own = pdu.event_type == TimelineEventType::RoomMember && pdu.state_key.as_deref() == Some(self.user_id.as_str());
        if own { Ok(membership_of(pdu)) } else { self.membership_before(cx, stamp) }
    }

    /// Whether the user may see the event at `stamp`.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn sees(&self, cx: &Cx<'_>, stamp: Stamp, pdu: &Pdu) -> Result<bool, ReadError> {
        if self.since < stamp && self.visibility_since < stamp {
            return Ok(match self.membership {
                MembershipState::Join => true,
                _ => self.visibility == HistoryVisibility::WorldReadable,
            });
        }
        if pdu.event_type == TimelineEventType::RoomMember && pdu.state_key.as_deref() == Some(self.user_id.as_str()) {
            return Ok(true);
        }
        let membership = self.membership_before(cx, stamp)?;
        if self.allows(cx, &self.visibility_before(cx, stamp)?, &membership, stamp)? {
            return Ok(true);
        }
        // A change of the visibility is seen by whoever may see under either.
        Ok(pdu.event_type == TimelineEventType::RoomHistoryVisibility
            && self.allows(cx, &visibility_of(pdu), &membership, stamp)?)
    }

    /// The event as it is served to the user: without its content when its sender wanted it erased with the account, unless the
    /// user was in the room when it was sent, or when the account was closed
    /// ([spec v1.19, § `POST /account/deactivate`](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate)).
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn served<'r>(&self, cx: &Cx<'_>, stamp: Stamp, row: &'r TimelineRow) -> Result<Cow<'r, TimelineRow>, ReadError> {
        if self.membership_at(cx, stamp, &row.pdu)? == MembershipState::Join {
            return Ok(Cow::Borrowed(row));
        }
        let Some(closed) = self.closing(cx, &row.pdu.sender)? else { return Ok(Cow::Borrowed(row)) };
        if self.membership_before(cx, closed)? == MembershipState::Join {
            return Ok(Cow::Borrowed(row));
        }
        let pdu = row.pdu.redacted(&self.room.rules);
        Ok(Cow::Owned(TimelineRow { pdu, replaces: None, ..row.clone() }))
    }

    /// When an account was closed whose owner wanted it erased. Asked for each of a sender's events, and read once.
    fn closing(&self, cx: &Cx<'_>, sender: &UserId) -> Result<Option<Stamp>, ReadError> {
        if let Some(known) = self.closings.borrow().get(sender) {
            return Ok(*known);
        }
        let user = tables::USERS.get(cx.view, &(cx.user(sender),))?.filter(|user| user.value.erased);
        // Nothing rewrites the row of a closed account: its version is the moment of the closing.
        let closing = user.map(|user| Stamp::of_row(user.version, 0));
        self.closings.borrow_mut().insert(sender.to_owned(), closing);
        Ok(closing)
    }

    fn allows(
        &self,
        cx: &Cx<'_>,
        visibility: &HistoryVisibility,
        membership: &MembershipState,
        stamp: Stamp,
    ) -> Result<bool, ReadError> {
        Ok(match visibility {
            _ if *membership == MembershipState::Join => true,
            HistoryVisibility::WorldReadable => true,
            HistoryVisibility::Invited => *membership == MembershipState::Invite && self.joined_since(cx, stamp)?,
            HistoryVisibility::Shared => self.joined_since(cx, stamp)?,
            _ => false,
        })
    }

    /// Whether the user has joined at any time after `stamp`.
    fn joined_since(&self, cx: &Cx<'_>, stamp: Stamp) -> Result<bool, ReadError> {
        if self.membership == MembershipState::Join && self.since > stamp {
            return Ok(true);
        }
        let memberships = &self.past(cx)?.memberships;
        Ok(memberships.iter().any(|(since, membership)| *since > stamp && *membership == MembershipState::Join))
    }

    fn visibility_before(&self, cx: &Cx<'_>, stamp: Stamp) -> Result<HistoryVisibility, ReadError> {
        if self.visibility_since < stamp {
            return Ok(self.visibility.clone());
        }
        let found = self.past(cx)?.visibilities.iter().rev().find(|(since, _)| *since < stamp);
        Ok(found.map_or(HistoryVisibility::Shared, |(_, visibility)| visibility.clone()))
    }

    fn past(&self, cx: &Cx<'_>) -> Result<&Past, ReadError> {
        if let Some(past) = self.past.get() {
            return Ok(past);
        }
        let mut memberships = self.history(cx, &StateEventType::RoomMember, self.user_id.as_str(), membership_of)?;
        memberships.push((self.since, self.membership.clone()));
        let mut visibilities = self.history(cx, &StateEventType::RoomHistoryVisibility, "", visibility_of)?;
        visibilities.push((self.visibility_since, self.visibility.clone()));
        Ok(self.past.get_or_init(|| Past { memberships, visibilities }))
    }

    fn history<T>(
        &self,
        cx: &Cx<'_>,
        event_type: &StateEventType,
        state_key: &str,
        read: impl Fn(&Pdu) -> T,
    ) -> Result<Vec<(Stamp, T)>, ReadError> {
        let prefix = (self.room.name, cx.name(&event_type.to_string()), cx.name(state_key));
        let rows = tables::STATE_HISTORY.scan(cx.view, &prefix);
        rows.map(|found| found.map(|((_, _, _, stamp), row)| (stamp, read(&row.value)))).collect()
    }
}

fn not_a_member() -> Reject {
    Reject::forbidden("you are not in this room: join it to read it")
}

fn membership_of(pdu: &Pdu) -> MembershipState {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    pdu.content_as::<Content>().map_or(MembershipState::Leave, |content| content.membership)
}

fn visibility_of(pdu: &Pdu) -> HistoryVisibility {
    #[derive(Deserialize)]
    struct Content {
        history_visibility: HistoryVisibility,
    }
    pdu.content_as::<Content>().map_or(HistoryVisibility::Shared, |content| content.history_visibility)
}
