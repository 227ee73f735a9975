//! Erasing a user.

use std::collections::BTreeSet;

use journal::ReadError;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};

use super::{Eraser, is_erased, room as rooms};
use crate::{
    Cx, Draft, Reject, Stop,
    account::{self, Gone},
    receipts,
    room::{self, relation_of},
    tables::{self, ErasureRow, UserKind},
};

/// Drafts that nobody knows the user any more.
pub(super) fn begin(draft: &mut Draft<'_>, user_id: &UserId, files: bool) -> Result<(), Stop> {
    let cx = draft.cx();
    let name = cx.user(user_id);
    let row = tables::USERS.get(cx.view, &(name,))?.ok_or_else(|| Reject::not_found("there is no such user"))?;
    if row.value.kind == UserKind::Appservice || is_erased(&cx, user_id)? {
        return Err(Reject::forbidden("this user belongs to an application service: erase it there").into());
    }
    tables::USERS.require(&mut draft.batch, &(name,), Some(row.version));
    account::delete_all_devices_but(draft, user_id, None)?;
    draft.wake(user_id);
    let (mut met, mut left) = (BTreeSet::new(), Vec::new());
    for room_id in rooms_of(&cx, user_id)? {
        let members = match room::get_room(&cx, &room_id) {
            Ok(_) => room::members(&cx, &room_id)?,
            Err(Stop::Reject(_)) => continue,
            Err(stop) => return Err(stop),
        };
        let is_present =
            |membership: &MembershipState| matches!(membership, MembershipState::Join | MembershipState::Invite);
        let own =
            members.iter().find(|member| member.user_id == user_id).is_some_and(|member| is_present(&member.membership));
        let others = members.iter().filter(|member| member.user_id != user_id);
        let company = others.clone().filter(|member| is_present(&member.membership)).count();
        met.extend(others.map(|member| member.user_id.clone()));
        // A participant's rooms are of two; a room of two is nothing without the other one.
        if row.value.kind == UserKind::Participant || (own && company <= 1) || company == 0 {
            rooms::begin(draft, &room_id, Some(user_id))?;
        } else {
            if own {
                account::leave_room(draft, user_id, &room_id)?;
            }
            tables::MEMBERSHIPS.delete(&mut draft.batch, &(name, cx.room(&room_id)));
            left.push(room_id);
        }
    }
    account::profile::delete(draft, user_id)?;
    if let Some(host) = tables::HOST_USERS.get(cx.view, &(name,))?.map(|row| row.value) {
        tables::HOSTS.delete(&mut draft.batch, &(cx.name(&host.host),));
        tables::HOST_USERS.delete(&mut draft.batch, &(name,));
        tables::ORGANIZATION_HOSTS.delete(&mut draft.batch, &(cx.name(&host.organization), name));
    }
    tables::PARTICIPANTS.delete(&mut draft.batch, &(name,));
    tables::USERS.delete(&mut draft.batch, &(name,));
    tables::ERASED_USERS.put(&mut draft.batch, &(name,), &());
    let met = met.into_iter().collect();
    tables::ERASURES.put(&mut draft.batch, &(name,), &ErasureRow::User { user_id: user_id.to_owned(), met, left, files });
    Ok(())
}

/// The user's rooms, and those of a pair that the user has left and forgotten.
fn rooms_of(cx: &Cx<'_>, user_id: &UserId) -> Result<BTreeSet<OwnedRoomId>, ReadError> {
    let user = cx.user(user_id);
    let rooms = tables::MEMBERSHIPS.scan(cx.view, &(user,)).map(|found| found.map(|(_, row)| row.value.room_id));
    let pairs = tables::PAIR_ROOMS.scan(cx.view, &(user,)).map(|found| found.map(|(_, row)| row.value));
    rooms.chain(pairs).collect()
}

/// Deletes all that is the user's own.
pub(super) fn clear(eraser: &mut Eraser<'_>, user_id: &UserId) -> Result<(), Stop> {
    let cx = eraser.cx();
    let user = cx.user(user_id);
    for found in tables::PUSHERS.scan(cx.view, &(user,)) {
        let ((_, pusher), _) = found?;
        if !eraser.take(2) {
            return Ok(());
        }
        tables::PUSHERS.delete(&mut eraser.draft.batch, &(user, pusher));
        tables::PUSHER_USERS.delete(&mut eraser.draft.batch, &(pusher, user));
    }
    for waiting in room::delayed::of_user(&cx, user_id)? {
        if eraser.take(3) {
            room::delayed::take_out(&cx, &mut eraser.draft.batch, &waiting)?;
        }
    }
    eraser.rows(&tables::DEVICE_KEYS, &(user,))?;
    eraser.rows(&tables::ONE_TIME_KEYS, &(user,))?;
    eraser.rows(&tables::ONE_TIME_KEY_UPLOADS, &(user,))?;
    eraser.rows(&tables::FALLBACK_KEYS, &(user,))?;
    eraser.rows(&tables::SIGNING_KEYS, &(user,))?;
    eraser.rows(&tables::SIGNATURES, &(user,))?;
    eraser.rows(&tables::RETIRED_DEVICE_KEYS, &(user,))?;
    eraser.rows(&tables::BACKUP_KEYS, &(user,))?;
    eraser.rows(&tables::BACKUPS, &(user,))?;
    eraser.rows(&tables::TO_DEVICE, &(user,))?;
    eraser.rows(&tables::FILTERS, &(user,))?;
    eraser.rows(&tables::ACCOUNT_DATA, &(user,))?;
    eraser.rows(&tables::ROOM_ACCOUNT_DATA, &(user,))?;
    eraser.rows(&tables::NOTIFICATIONS, &(user,))?;
    eraser.rows(&tables::CHANGES, &(user,))?;
    eraser.rows(&tables::TRANSACTIONS, &(user,))?;
    eraser.rows(&tables::UPLOADS, &(user,))?;
    eraser.rows(&tables::RESERVATIONS, &(user,))?;
    eraser.rows(&tables::DEPARTURES, &(user,))?;
    eraser.rows(&tables::REPORTS, &(user,))?;
    if eraser.take(5) {
        let batch = &mut eraser.draft.batch;
        tables::BACKUP_COUNTERS.delete(batch, &(user,));
        tables::DEHYDRATED_DEVICES.delete(batch, &(user,));
        tables::UPLOAD_HEADS.delete(batch, &(user,));
        tables::WAITING.delete(batch, &(user,));
        tables::NOTICE_ROOMS.delete(batch, &(user,));
    }
    Ok(())
}

/// Deletes what others have that names the user: signatures on their keys, direct chats, ignored users, push rules.
pub(super) fn clear_of_others(eraser: &mut Eraser<'_>, user_id: &UserId, met: &[OwnedUserId]) -> Result<(), Stop> {
    let cx = eraser.cx();
    for other in met {
        eraser.rows(&tables::SIGNATURES, &(cx.user(other), cx.user(user_id)))?;
        if eraser.take(4) {
            account::forget(&mut eraser.draft, other, Gone::User(user_id))?;
        }
    }
    Ok(())
}

/// Deletes what the user said in rooms that live on, and how far they read there.
pub(super) fn clear_rooms(eraser: &mut Eraser<'_>, user_id: &UserId, left: &[OwnedRoomId]) -> Result<(), Stop> {
    let cx = eraser.cx();
    for room_id in left {
        let (room, user) = (cx.room(room_id), cx.user(user_id));
        eraser.rows(&tables::RECEIPTS, &(room, user))?;
        eraser.rows(&tables::STATE_HISTORY, &(room, cx.name("m.room.member"), cx.name(user_id.as_str())))?;
        clear_events(eraser, user_id, room_id)?;
    }
    Ok(())
}

fn clear_events(eraser: &mut Eraser<'_>, user_id: &UserId, room_id: &RoomId) -> Result<(), Stop> {
    let cx = eraser.cx();
    let room = cx.room(room_id);
    let members = room::members(&cx, room_id)?;
    for found in tables::TIMELINE.scan(cx.view, &(room,)) {
        let ((_, stamp), row) = found?;
        let pdu = &row.value.pdu;
        let end = (row.expires.as_ms(), room, stamp);
        if tables::UNREAD_ENDS.get(cx.view, &end)?.is_some_and(|end| end.value.users.iter().any(|user| user == user_id)) {
            if !eraser.take(2) {
                break;
            }
            receipts::forget_end(&mut eraser.draft, user_id, end)?;
        }
        if pdu.sender != user_id && pdu.state_key.as_deref() != Some(user_id.as_str()) {
            continue;
        }
        if !eraser.take(3 + members.len()) {
            break;
        }
        eraser.words((room_id, stamp), pdu);
        let batch = &mut eraser.draft.batch;
        if let Some(parent) = relation_of(pdu) {
            tables::RELATIONS.delete(batch, &(room, cx.event(&parent.event_id), stamp));
        }
        for member in &members {
            tables::NOTIFICATIONS.delete(batch, &(cx.user(&member.user_id), room, stamp));
        }
        tables::EVENTS.delete(batch, &(cx.event(&pdu.event_id),));
        tables::TIMELINE.delete(batch, &(room, stamp));
    }
    Ok(())
}

/// Deletes the rows of the user's files: with them goes the only key of each.
pub(super) fn clear_files(eraser: &mut Eraser<'_>, user_id: &UserId) -> Result<(), ReadError> {
    let cx = eraser.cx();
    for found in tables::MEDIA.scan(cx.view, &()) {
        let (key, row) = found?;
        if row.value.owner != user_id {
            continue;
        }
        if !eraser.take(1) {
            break;
        }
        eraser.objects.extend(row.value.file.map(|file| file.object));
        tables::MEDIA.delete(&mut eraser.draft.batch, &key);
    }
    Ok(())
}
