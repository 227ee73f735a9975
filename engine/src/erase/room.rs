//! Erasing a room.

use journal::{Name, ReadError};
use ruma::{OwnedUserId, RoomId, RoomVersionId, UserId, events::room::member::MembershipState};

use super::{Eraser, STEP_MAX};
use crate::{
    Draft, Stop,
    account::{self, Gone},
    changes::Change,
    keys::backup,
    media,
    room::{self, RoomDraft},
    tables::{self, DepartureRow, ErasureRow, MemberRow},
};

/// People who hear in the first batch that the room ends: some ten operations each. The others do in the next ones, and whoever has left
/// it can wait for those too.
const MEMBERS_MAX: usize = 500;

/// Of those who hear of it later, so many are out of it in the first batch already: an operation each. In larger rooms some have it among
/// theirs until their turn comes, though nobody can do or read anything in it any more.
const OUT_MAX: usize = 12_000;

/// Up to so many members are told about each other's device lists; in larger rooms clients find out when they ask.
const DEVICE_LISTS_MAX: usize = 50;

/// Drafts that nobody finds the room any more. `but` is not told of it: a user who is erased with it.
pub(super) fn begin(draft: &mut Draft<'_>, room_id: &RoomId, but: Option<&UserId>) -> Result<(), Stop> {
    let cx = draft.cx();
    let found = room::get_room(&cx, room_id)?;
    let name = found.name;
    let (mut members, left): (Vec<_>, Vec<_>) =
        room::members(&cx, room_id)?.into_iter().partition(|member| is_present(&member.membership));
    members.sort_by_key(|member| Some(&*member.user_id) != but);
    let later = members.split_off(members.len().min(MEMBERS_MAX));
    // Whoever comes in meanwhile, or sets other state, rewrites this row: then it is looked again who is there.
    let head = tables::STATE_HEADS.get(cx.view, &(name,))?.map(|row| row.version);
    tables::STATE_HEADS.require(&mut draft.batch, &(name,), head);
    let version = found.version.clone();
    tell(draft, found, &members, but)?;
    let others_too = MEMBERS_MAX - members.len();
    members.extend(left.into_iter().take(others_too));
    for member in &members {
        close_to(draft, room_id, member)?;
        unpair(draft, cx.user(&member.user_id), room_id)?;
    }
    for member in later.iter().take(OUT_MAX) {
        tables::MEMBERSHIPS.delete(&mut draft.batch, &(cx.user(&member.user_id), name));
    }
    // What those who hear of it later are just sending rests on these, and is decided again.
    for event_type in ["m.room.create", "m.room.power_levels"] {
        drop_state(draft, (name, cx.name(event_type), cx.name("")))?;
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
    let row = ErasureRow::Room { room_id: room_id.to_owned(), version, members };
    tables::ERASURES.put(&mut draft.batch, &(name,), &row);
    Ok(())
}

/// Whether somebody of that membership is told that the room ends.
pub(super) const fn is_present(membership: &MembershipState) -> bool {
    matches!(membership, MembershipState::Join | MembershipState::Invite | MembershipState::Knock)
}

/// Drafts that the room is nobody's one room with a participant any more.
pub(super) fn unpair(draft: &mut Draft<'_>, user: Name, room_id: &RoomId) -> Result<(), ReadError> {
    for found in tables::PAIR_ROOMS.scan(draft.cx().view, &(user,)) {
        let (key, row) = found?;
        if row.value == room_id {
            tables::PAIR_ROOMS.delete(&mut draft.batch, &key);
        }
    }
    Ok(())
}

/// Everybody of these who was in it hears that they left, and whose devices they need not follow any more.
fn tell(draft: &mut Draft<'_>, room: room::Room, present: &[MemberRow], but: Option<&UserId>) -> Result<(), Stop> {
    let cx = draft.cx();
    let (name, room_id) = (room.name, room.room_id.clone());
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
    drop_state(draft, (room, cx.name("m.room.member"), cx.name(member.user_id.as_str())))?;
    // The next notice makes another room.
    if tables::NOTICE_ROOMS.get(cx.view, &(user,))?.is_some_and(|row| row.value == room_id) {
        tables::NOTICE_ROOMS.delete(&mut draft.batch, &(user,));
    }
    tables::MEMBERS.delete(&mut draft.batch, &(room, user));
    tables::MEMBERSHIPS.delete(&mut draft.batch, &(user, room));
    Ok(())
}

fn drop_state(draft: &mut Draft<'_>, key: (Name, Name, Name)) -> Result<(), ReadError> {
    let cx = draft.cx();
    if let Some(row) = tables::STATE.get(cx.view, &key)? {
        tables::STATE_EVENTS.delete(&mut draft.batch, &(cx.event(&row.value.pdu.event_id),));
        tables::STATE.delete(&mut draft.batch, &key);
    }
    Ok(())
}

/// Goes on with whoever has not heard of it yet, then deletes what hangs on the room. Answers who may still have something of it; `None`:
/// nothing is left.
pub(super) fn go_on(
    eraser: &mut Eraser<'_>,
    (room_id, version): (&RoomId, &RoomVersionId),
    mut members: Vec<OwnedUserId>,
) -> Result<Option<Vec<OwnedUserId>>, Stop> {
    if !close(eraser, room_id, version)? {
        return Ok(Some(members));
    }
    clear(eraser, room_id)?;
    while let Some(member) = members.pop() {
        if !clear_of(eraser, room_id, &member)? {
            members.push(member);
            return Ok(Some(members));
        }
    }
    Ok(eraser.is_spent().then_some(members))
}

/// Whoever is still listed as a member hears of the end if they were in it, and is listed no more. Answers whether nobody is left.
fn close(eraser: &mut Eraser<'_>, room_id: &RoomId, version: &RoomVersionId) -> Result<bool, Stop> {
    let cx = eraser.cx();
    for found in tables::MEMBERS.scan(cx.view, &(cx.room(room_id),)) {
        let member = found?.1.value;
        if eraser.is_spent() {
            return Ok(false);
        }
        let user = cx.user(&member.user_id);
        // First what may take several steps: then they are told once, in the step that takes them off the list.
        if !clear_of(eraser, room_id, &member.user_id)? {
            return Ok(false);
        }
        // Whoever was erased meanwhile is told nothing any more.
        if is_present(&member.membership) && tables::USERS.exists(cx.view, &(user,))? {
            let room = room::Room::of_version(&cx, room_id, version)?;
            tell(&mut eraser.draft, room, std::slice::from_ref(&member), None)?;
        }
        close_to(&mut eraser.draft, room_id, &member)?;
        unpair(&mut eraser.draft, user, room_id)?;
    }
    Ok(true)
}

/// Deletes what is the room's own.
fn clear(eraser: &mut Eraser<'_>, room_id: &RoomId) -> Result<(), Stop> {
    let cx = eraser.cx();
    let room = cx.room(room_id);
    for found in tables::TIMELINE.scan(cx.view, &(room,)) {
        let (key, row) = found?;
        if eraser.is_spent() {
            return Ok(());
        }
        eraser.words((room_id, key.1), &row.value.pdu);
        tables::UNREAD_ENDS.delete(&mut eraser.draft.batch, &(row.expires.as_ms(), room, key.1));
        tables::EVENTS.delete(&mut eraser.draft.batch, &(cx.event(&row.value.pdu.event_id),));
        tables::TIMELINE.delete(&mut eraser.draft.batch, &key);
    }
    for found in tables::STATE.scan(cx.view, &(room,)) {
        let (key, row) = found?;
        if eraser.is_spent() {
            return Ok(());
        }
        let pdu = &row.value.pdu;
        media::picture_changed(&mut eraser.draft, room, &pdu.sender, media::picture_of(pdu).as_deref(), None)?;
        tables::STATE_EVENTS.delete(&mut eraser.draft.batch, &(cx.event(&pdu.event_id),));
        tables::STATE.delete(&mut eraser.draft.batch, &key);
    }
    eraser.rows(&tables::STATE_HISTORY, &(room,))?;
    eraser.rows(&tables::EXTREMITIES, &(room,))?;
    eraser.rows(&tables::RELATIONS, &(room,))?;
    eraser.rows(&tables::RECEIPTS, &(room,))?;
    eraser.rows(&tables::MEGOLM_SESSIONS, &(room,))?;
    Ok(())
}

/// Deletes what a member has of it. Answers whether that was all.
fn clear_of(eraser: &mut Eraser<'_>, room_id: &RoomId, member: &UserId) -> Result<bool, Stop> {
    let cx = eraser.cx();
    let (room, user) = (cx.room(room_id), cx.user(member));
    eraser.rows(&tables::NOTIFICATIONS, &(user, room))?;
    eraser.rows(&tables::ROOM_ACCOUNT_DATA, &(user, room))?;
    if eraser.is_spent() {
        return Ok(false);
    }
    eraser.looked_at(1);
    for waiting in room::delayed::of_user(&cx, member)? {
        if waiting.room_id == room_id {
            room::delayed::take_out(&cx, &mut eraser.draft.batch, &waiting)?;
        }
    }
    let mut budget = STEP_MAX;
    backup::delete_room_keys(&mut eraser.draft, user, room, &mut budget)?;
    if budget == 0 {
        return Ok(false);
    }
    account::forget(&mut eraser.draft, member, Gone::Room(room_id))?;
    Ok(true)
}
