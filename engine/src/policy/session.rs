//! Sessions that are over (docs/decisions/0022-nobody-left-to-read.md): whoever was invited never reads again, so a host is not let write
//! to them. What was said stays to be read until it expires. The host's clients learn of it from account data of the room, which the
//! server keeps: with it in `/sync`, no client has to guess.

use journal::{ReadError, Timestamp};
use ruma::{RoomId, UserId, events::room::member::MembershipState};
use serde_json::json;

use super::{Standing, chat_is_off, is_live_between, is_support, standing};
use crate::{
    Cx, Draft, Reject,
    account::{NewAccountData, put_account_data},
    room,
    tables::{self, ParticipantRow},
};

/// The type of the account data: `{ "ended": bool }`. A host has it for a room with a participant whose session has ended, or had
/// before the platform asked them back.
pub const SESSION: &str = "org.vestibule.session";

/// Why there is nobody in a room whom one could write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Chat is switched off for the account, or for everybody else's (F12).
    ChatOff,
    /// The others' sessions are over.
    SessionEnded,
}

impl From<Silence> for Reject {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::ChatOff => chat_is_off(),
            Silence::SessionEnded => Self::forbidden("This session has ended: they can't read it any more."),
        }
    }
}

impl Standing {
    /// Whether this is a participant whose session is over, to the millisecond: with it every login ended (D5).
    #[must_use]
    pub fn has_ended(&self, cx: &Cx<'_>) -> bool {
        matches!(self, Self::Participant { row, .. } if is_over(row, cx.now()))
    }
}

fn is_over(participant: &ParticipantRow, now: Timestamp) -> bool {
    participant.ends_at <= now
}

/// Why nobody would read what `user` writes in the room; `None`: somebody does, or `user` is alone there.
///
/// With chat switched off for `user`, only talking with support is left. Without it, support that was asked in is a reader like any
/// other.
pub(super) fn silence(
    cx: &Cx<'_>,
    user: &UserId,
    sending: &Standing,
    room_id: &RoomId,
) -> Result<Option<Silence>, ReadError> {
    // A participant's account is the inviter's: nobody else's switch matters to them, as to plain users and support.
    if sending.chat_enabled() && !matches!(sending, Standing::Host { .. }) {
        return Ok(None);
    }
    let (mut off, mut over, mut support) = (false, false, false);
    for row in tables::MEMBERS.scan(cx.view, &(cx.room(room_id),)) {
        let member = row?.1.value;
        let present = matches!(member.membership, MembershipState::Join | MembershipState::Invite);
        if !present || member.user_id == user {
            continue;
        }
        if is_support(cx, &member.user_id) {
            support = true;
            continue;
        }
        if !sending.chat_enabled() {
            return Ok(Some(Silence::ChatOff));
        }
        let other = standing(cx, &member.user_id)?;
        if other.has_ended(cx) {
            over = true;
        } else if other.chat_enabled() {
            return Ok(None);
        } else {
            off = true;
        }
    }
    // With support there, somebody still reads what is written when a session is over; the switch is about support's rooms too.
    Ok(match (off, over && !support) {
        (_, true) => Some(Silence::SessionEnded),
        (true, _) => Some(Silence::ChatOff),
        _ => None,
    })
}

/// Checks that a host asks nobody in whose session is over, nor anybody into a room of `members`, the host among them, in which
/// nobody else reads any more.
pub(super) fn check_sessions(
    cx: &Cx<'_>,
    inviting: &Standing,
    invited: &Standing,
    members: &[Standing],
) -> Result<(), Reject> {
    let mut others = members.iter().filter(|member| *member != inviting).peekable();
    let nobody_reads = others.peek().is_some() && others.all(|other| other.has_ended(cx));
    if matches!(inviting, Standing::Host { .. }) && (invited.has_ended(cx) || nobody_reads) {
        return Err(Silence::SessionEnded.into());
    }
    Ok(())
}

/// Drafts what the host's clients are told of a participant's session, if the two have a room: that it is over, or that it goes on
/// after all. A room that is being made meanwhile makes one of the two batches decide anew, see [`super::claim_pairs`].
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub(crate) fn tell_host(draft: &mut Draft<'_>, participant: &ParticipantRow) -> Result<(), ReadError> {
    let cx = draft.cx();
    let (user, host) = (&participant.user_id, &participant.inviter);
    let (pair, ended) = ((cx.user(user), cx.user(host)), is_over(participant, cx.now()));
    let found = tables::PAIR_ROOMS.get(cx.view, &pair)?;
    if ended {
        tables::PAIR_ROOMS.require(&mut draft.batch, &pair, found.as_ref().map(|row| row.version));
    }
    let Some(room_id) = found.map(|row| row.value) else { return Ok(()) };
    let key = (pair.1, cx.room(&room_id), cx.name(SESSION));
    let known = tables::ROOM_ACCOUNT_DATA.get(cx.view, &key)?.map(|row| row.value.content);
    let content = room::raw(&json!({ "ended": ended }));
    let same = known.as_ref().map_or(!ended, |known| known.get() == content.get());
    if same || !is_live_between(&cx, &room_id, user, host)? {
        return Ok(());
    }
    let data = NewAccountData { user_id: host.clone(), room_id: Some(room_id), event_type: SESSION.to_owned(), content };
    put_account_data(draft, &data);
    Ok(())
}
