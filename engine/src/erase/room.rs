//! Erasing a room.

use journal::ReadError;
use ruma::{OwnedUserId, RoomId, UserId, events::room::member::MembershipState};

use super::Eraser;
use crate::{
    Cx, Draft, Reject, Stop,
    account::{self, Gone},
    changes::Change,
    keys::backup,
    media,
    room::{self, RoomDraft},
    tables::{self, DepartureRow, ErasureRow, MemberRow},
};

/// Members of a room that is erased: some ten operations each, in one batch.
const MEMBERS_MAX: usize = 1_500;

/// Up to so many members are told about each other's device lists; in larger rooms clients find out when they ask.
const DEVICE_LISTS_MAX: usize = 50;

/// Drafts that nobody finds the room any more. `but` is not told of it: a user who is erased with it.
pub(super) fn begin(draft: &mut Draft<'_>, room_id: &RoomId, but: Option<&UserId>) -> Result<(), Stop> {
    let cx = draft.cx();
    let found = room::get_room(&cx, room_id)?;
    let name = found.name;
    let members = room::members(&cx, room_id)?;
    if members.len() > MEMBERS_MAX {
        return Err(Reject::TooLarge("this room has too many members to be erased at once".into()).into());
    }
    tell(draft, found, &members, but)?;
    for member in &members {
        close_to(draft, room_id, member)?;
    }
    for other in members.iter().map(|member| cx.user(&member.user_id)) {
        for found in tables::PAIR_ROOMS.scan(cx.view, &(other,)) {
            let (key, row) = found?;
            if row.value == room_id {
                tables::PAIR_ROOMS.delete(&mut draft.batch, &key);
            }
        }
    }
    for found in tables::ROOM_ALIASES.scan(cx.view, &(name,)) {
        let (key, _) = found?;
        tables::ALIASES.delete(&mut draft.batch, &(key.1,));
        tables::ROOM_ALIASES.delete(&mut draft.batch, &key);
    }
    tables::PUBLISHED_ROOMS.delete(&mut draft.batch, &(name,));
    tables::STATE_HEADS.delete(&mut draft.batch, &(name,));
    tables::ROOMS.delete(&mut draft.batch, &(name,));
    let members = members.into_iter().map(|member| member.user_id).collect();
    tables::ERASURES.put(&mut draft.batch, &(name,), &ErasureRow::Room { room_id: room_id.to_owned(), members });
    Ok(())
}

const fn is_present(member: &MemberRow) -> bool {
    matches!(member.membership, MembershipState::Join | MembershipState::Invite | MembershipState::Knock)
}

/// Everybody who was in it hears that they left, and whose devices they need not follow any more.
fn tell(draft: &mut Draft<'_>, room: room::Room, members: &[MemberRow], but: Option<&UserId>) -> Result<(), Stop> {
    let cx = draft.cx();
    let (name, room_id) = (room.name, room.room_id.clone());
    let present: Vec<_> = members.iter().filter(|member| is_present(member)).collect();
    let told: Vec<_> =
        present.iter().filter(|member| Some(&*member.user_id) != but && cx.server.is_local(&member.user_id)).collect();
    let room = RoomDraft::open(draft, room)?;
    let farewells = told.iter().map(|member| room.farewell(&member.user_id)).collect::<Result<Vec<_>, _>>()?;
    for (member, pdu) in told.iter().zip(farewells) {
        let row = DepartureRow { room_id: room_id.clone(), pdu, index: draft.next_stamp().index };
        let key = (cx.user(&member.user_id), name);
        tables::DEPARTURES.put(&mut draft.batch, &key, &row, cx.text_class(), cx.text_expiry());
        draft.tell(&member.user_id, Change::Room { room_id: room_id.clone() });
        if present.len() > DEVICE_LISTS_MAX {
            continue;
        }
        for other in present.iter().filter(|other| other.user_id != member.user_id) {
            draft.tell(&member.user_id, Change::DeviceList { user_id: other.user_id.clone() });
        }
    }
    Ok(())
}

/// Deletes what makes somebody a member. What is just being sent rests on the member event, and is decided again.
fn close_to(draft: &mut Draft<'_>, room_id: &RoomId, member: &MemberRow) -> Result<(), ReadError> {
    let cx = draft.cx();
    let (room, user) = (cx.room(room_id), cx.user(&member.user_id));
    let key = (room, cx.name("m.room.member"), cx.name(member.user_id.as_str()));
    if let Some(row) = tables::STATE.get(cx.view, &key)? {
        tables::STATE_EVENTS.delete(&mut draft.batch, &(cx.event(&row.value.pdu.event_id),));
        tables::STATE.delete(&mut draft.batch, &key);
    }
    tables::MEMBERS.delete(&mut draft.batch, &(room, user));
    tables::MEMBERSHIPS.delete(&mut draft.batch, &(user, room));
    Ok(())
}

/// Deletes everything that hangs on the room.
pub(super) fn clear(eraser: &mut Eraser<'_>, room_id: &RoomId, members: &[OwnedUserId]) -> Result<(), Stop> {
    let cx = eraser.cx();
    let room = cx.room(room_id);
    for found in tables::TIMELINE.scan(cx.view, &(room,)) {
        let (key, row) = found?;
        if !eraser.take(3) {
            return Ok(());
        }
        eraser.words((room_id, key.1), &row.value.pdu);
        tables::UNREAD_ENDS.delete(&mut eraser.draft.batch, &(row.expires.as_ms(), room, key.1));
        tables::EVENTS.delete(&mut eraser.draft.batch, &(cx.event(&row.value.pdu.event_id),));
        tables::TIMELINE.delete(&mut eraser.draft.batch, &key);
    }
    for found in tables::STATE.scan(cx.view, &(room,)) {
        let (key, row) = found?;
        if !eraser.take(4) {
            return Ok(());
        }
        media::picture_changed(
            &mut eraser.draft,
            room,
            &row.value.pdu.sender,
            media::picture_of(&row.value.pdu).as_deref(),
            None,
        )?;
        tables::STATE_EVENTS.delete(&mut eraser.draft.batch, &(cx.event(&row.value.pdu.event_id),));
        tables::STATE.delete(&mut eraser.draft.batch, &key);
    }
    eraser.rows(&tables::STATE_HISTORY, &(room,))?;
    eraser.rows(&tables::EXTREMITIES, &(room,))?;
    eraser.rows(&tables::RELATIONS, &(room,))?;
    eraser.rows(&tables::RECEIPTS, &(room,))?;
    eraser.rows(&tables::MEGOLM_SESSIONS, &(room,))?;
    for member in members {
        clear_of(eraser, &cx, room_id, member)?;
    }
    Ok(())
}

/// What each member has of it.
fn clear_of(eraser: &mut Eraser<'_>, cx: &Cx<'_>, room_id: &RoomId, member: &UserId) -> Result<(), Stop> {
    let (room, user) = (cx.room(room_id), cx.user(member));
    eraser.rows(&tables::NOTIFICATIONS, &(user, room))?;
    eraser.rows(&tables::ROOM_ACCOUNT_DATA, &(user, room))?;
    for waiting in room::delayed::of_user(cx, member)? {
        if waiting.room_id == room_id && eraser.take(3) {
            room::delayed::take_out(cx, &mut eraser.draft.batch, &waiting)?;
        }
    }
    let mut left = eraser.left;
    backup::delete_room_keys(&mut eraser.draft, user, room, &mut left)?;
    eraser.left = left;
    if eraser.take(2) {
        account::forget(&mut eraser.draft, member, Gone::Room(room_id))?;
    }
    Ok(())
}
