//! Erasing a user.

use journal::{Name, ReadError, Stamp};
use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};

use super::{Eraser, room as rooms};
use crate::{
    Cx, Draft, Reject, Stop,
    account::{self, Gone},
    media, platform, receipts,
    room::{self, notices, relation_of},
    tables::{self, ErasurePlace as Place, ErasureRow, TimelineRow, TokenKind, UserKind},
};

/// Before all names.
const FIRST: Name = Name::from_bytes([0; 16]);

/// Drafts that nobody knows the user any more: with the row of the user every token ends. `files`: there may still be some.
pub(super) fn begin(draft: &mut Draft<'_>, user_id: &UserId, files: bool) -> Result<(), Stop> {
    let cx = draft.cx();
    let name = (cx.user(user_id),);
    let row = tables::USERS.get(cx.view, &name)?.ok_or_else(|| Reject::not_found("there is no such user"))?;
    if row.value.kind == UserKind::Appservice {
        return Err(Reject::forbidden("this user belongs to an application service: erase it there").into());
    }
    if notices::sender(&cx)? == user_id {
        return Err(Reject::forbidden("this user is the server's own: notices come from it").into());
    }
    tables::USERS.require(&mut draft.batch, &name, Some(row.version));
    account::profile::delete(draft, user_id)?;
    platform::forget_user(draft, user_id)?;
    tables::USERS.delete(&mut draft.batch, &name);
    tables::ERASED_USERS.put(&mut draft.batch, &name, &());
    let participant = row.value.kind == UserKind::Participant;
    let row = ErasureRow::User { user_id: user_id.to_owned(), participant, files, at: Place::Own };
    tables::ERASURES.put(&mut draft.batch, &name, &row);
    draft.wake(user_id);
    Ok(())
}

/// Goes on at a place. Answers where to go on from there; `None`: nothing is left.
pub(super) fn go_on(
    eraser: &mut Eraser<'_>,
    user_id: &UserId,
    (participant, files): (bool, bool),
    at: Place,
) -> Result<Option<Place>, Stop> {
    let cx = eraser.cx();
    Ok(Some(match at {
        Place::Own => {
            clear(eraser, user_id)?;
            if eraser.is_spent() { Place::Own } else { Place::Sessions }
        }
        Place::Sessions => {
            let open = platform::open_sessions(&cx, user_id, 1)?;
            for session in &open {
                platform::close_session(&mut eraser.draft, session)?;
            }
            if open.is_empty() { Place::Rooms } else { Place::Sessions }
        }
        Place::Rooms => match next_room(&cx, user_id)? {
            Some(room_id) => Place::Members { room_id, from: None },
            None if files => Place::Files { from: None },
            None => Place::Pictures { from: None },
        },
        Place::Members { room_id, from } => match forget_in(eraser, user_id, &room_id, from)? {
            from @ Some(_) => Place::Members { room_id, from },
            None => Place::Leaving { room_id },
        },
        Place::Leaving { room_id } => {
            let lives_on = leave(&mut eraser.draft, user_id, participant, &room_id)?;
            if lives_on { Place::Events { room_id, from: None } } else { Place::Rooms }
        }
        Place::Events { room_id, from } => match clear_events(eraser, user_id, &room_id, from)? {
            from @ Some(_) => Place::Events { room_id, from },
            None => Place::Rooms,
        },
        Place::Files { from } => match clear_files(eraser, user_id, from)? {
            from @ Some(_) => Place::Files { from },
            None => Place::Pictures { from: None },
        },
        Place::Pictures { from } => match clear_pictures(eraser, user_id, from)? {
            from @ Some(_) => Place::Pictures { from },
            None => Place::Again,
        },
        Place::Again => {
            clear(eraser, user_id)?;
            match next_room(&cx, user_id)? {
                None if eraser.is_spent() => Place::Again,
                None => return Ok(None),
                Some(_) => Place::Rooms,
            }
        }
    }))
}

/// A room the user is or was in, or one of a pair that the user has left and forgotten.
fn next_room(cx: &Cx<'_>, user_id: &UserId) -> Result<Option<OwnedRoomId>, ReadError> {
    let user = (cx.user(user_id),);
    if let Some((_, row)) = tables::MEMBERSHIPS.scan(cx.view, &user).next().transpose()? {
        return Ok(Some(row.value.room_id));
    }
    let pair = tables::PAIR_ROOMS.scan(cx.view, &user).next().transpose()?;
    Ok(pair.map(|(_, row)| row.value))
}

/// Deletes all that is the user's own.
fn clear(eraser: &mut Eraser<'_>, user_id: &UserId) -> Result<(), Stop> {
    let cx = eraser.cx();
    let user = cx.user(user_id);
    clear_logins(eraser, user)?;
    for waiting in room::delayed::of_user(&cx, user_id)? {
        room::delayed::take_out(&cx, &mut eraser.draft.batch, &waiting)?;
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
    let batch = &mut eraser.draft.batch;
    tables::BACKUP_COUNTERS.delete(batch, &(user,));
    tables::DEHYDRATED_DEVICES.delete(batch, &(user,));
    tables::UPLOAD_HEADS.delete(batch, &(user,));
    tables::WAITING.delete(batch, &(user,));
    tables::NOTICE_ROOMS.delete(batch, &(user,));
    Ok(())
}

/// Deletes devices, their tokens, and where they wanted to be notified. Whoever shares a room hears of it when the user leaves that.
fn clear_logins(eraser: &mut Eraser<'_>, user: Name) -> Result<(), ReadError> {
    let cx = eraser.cx();
    // A token that is just being refreshed rests on the device's row.
    eraser.rows(&tables::DEVICES, &(user,))?;
    for found in tables::DEVICE_TOKENS.scan(cx.view, &(user,)) {
        let (key, row) = found?;
        if eraser.is_spent() {
            return Ok(());
        }
        let batch = &mut eraser.draft.batch;
        match row.value {
            TokenKind::Access => tables::ACCESS_TOKENS.delete(batch, &(key.2,)),
            TokenKind::Refresh => tables::REFRESH_TOKENS.delete(batch, &(key.2,)),
        }
        tables::DEVICE_TOKENS.delete(batch, &key);
    }
    for found in tables::PUSHERS.scan(cx.view, &(user,)) {
        let ((_, pusher), _) = found?;
        if eraser.is_spent() {
            return Ok(());
        }
        let batch = &mut eraser.draft.batch;
        tables::PUSHERS.delete(batch, &(user, pusher));
        tables::PUSHER_USERS.delete(batch, &(pusher, user));
    }
    Ok(())
}

/// Deletes what those in a room have that names the user: signatures on their keys, direct chats, ignored users, push rules.
fn forget_in(eraser: &mut Eraser<'_>, user_id: &UserId, room_id: &RoomId, from: Option<Name>) -> Result<Option<Name>, Stop> {
    let cx = eraser.cx();
    let (room, user) = (cx.room(room_id), cx.user(user_id));
    for found in tables::MEMBERS.scan_from(cx.view, &(room,), &(room, from.unwrap_or(FIRST))) {
        let ((_, other), row) = found?;
        if eraser.is_spent() {
            return Ok(Some(other));
        }
        eraser.looked_at(1);
        if other == user {
            continue;
        }
        eraser.rows(&tables::SIGNATURES, &(other, user))?;
        if eraser.is_spent() {
            return Ok(Some(other));
        }
        account::forget(&mut eraser.draft, &row.value.user_id, Gone::User(user_id))?;
    }
    Ok(None)
}

/// Drafts that the user is out of a room, or that the room goes with them. Answers whether it lives on.
fn leave(draft: &mut Draft<'_>, user_id: &UserId, participant: bool, room_id: &RoomId) -> Result<bool, Stop> {
    let cx = draft.cx();
    let user = cx.user(user_id);
    let lives_on = match room::get_room(&cx, room_id) {
        Ok(_) => !goes_with(&cx, user_id, participant, room_id)?,
        // Erased meanwhile.
        Err(Stop::Reject(Reject::NotFound(_))) => false,
        Err(stop) => return Err(stop),
    };
    if lives_on {
        if room::membership_of(&cx, room_id, user_id)?.is_some_and(|membership| rooms::is_present(&membership)) {
            account::leave_room(draft, user_id, room_id)?;
        }
    } else {
        match rooms::begin(draft, room_id, Some(user_id)) {
            Ok(()) | Err(Stop::Reject(Reject::NotFound(_))) => {}
            Err(stop) => return Err(stop),
        }
    }
    tables::MEMBERSHIPS.delete(&mut draft.batch, &(user, cx.room(room_id)));
    rooms::unpair(draft, user, room_id)?;
    Ok(lives_on)
}

/// A participant's rooms are of two; a room of two is nothing without the other one.
fn goes_with(cx: &Cx<'_>, user_id: &UserId, participant: bool, room_id: &RoomId) -> Result<bool, ReadError> {
    if participant {
        return Ok(true);
    }
    let stays = |membership: &MembershipState| matches!(membership, MembershipState::Join | MembershipState::Invite);
    let (own, others): (Vec<_>, Vec<_>) = room::members(cx, room_id)?
        .into_iter()
        .filter(|member| stays(&member.membership))
        .partition(|member| member.user_id == user_id);
    Ok(others.is_empty() || (!own.is_empty() && others.len() == 1))
}

/// Deletes what the user said in a room that lives on, and how far they read there. What is the room's state by now stays, their having
/// left among it: whoever was away learns of that from it.
fn clear_events(
    eraser: &mut Eraser<'_>,
    user_id: &UserId,
    room_id: &RoomId,
    from: Option<Stamp>,
) -> Result<Option<Stamp>, Stop> {
    let cx = eraser.cx();
    let (room, user) = (cx.room(room_id), cx.user(user_id));
    let from = from.unwrap_or_default();
    eraser.rows(&tables::RECEIPTS, &(room, user))?;
    eraser.rows(&tables::STATE_HISTORY, &(room, cx.name("m.room.member"), cx.name(user_id.as_str())))?;
    if eraser.is_spent() {
        return Ok(Some(from));
    }
    let mut members = None;
    for found in tables::TIMELINE.scan_from(cx.view, &(room,), &(room, from)) {
        let ((_, stamp), row) = found?;
        if eraser.is_spent() {
            return Ok(Some(stamp));
        }
        eraser.looked_at(1);
        let pdu = &row.value.pdu;
        let end = (row.expires.as_ms(), room, stamp);
        if pdu.sender != user_id && pdu.state_key.as_deref() != Some(user_id.as_str()) {
            if tables::UNREAD_ENDS.get(cx.view, &end)?.is_some_and(|end| end.value.users.iter().any(|user| user == user_id))
            {
                receipts::forget_end(&mut eraser.draft, user_id, end)?;
            }
            continue;
        }
        if pdu.state_key.is_some() && tables::STATE_EVENTS.exists(cx.view, &(cx.event(&pdu.event_id),))? {
            forget_replaced(eraser, (room, stamp), row);
            continue;
        }
        if members.is_none() {
            members = Some(room::members(&cx, room_id)?);
        }
        for member in members.iter().flatten() {
            let key = (cx.user(&member.user_id), room, stamp);
            eraser.looked_at(1);
            if tables::NOTIFICATIONS.exists(cx.view, &key)? {
                tables::NOTIFICATIONS.delete(&mut eraser.draft.batch, &key);
            }
        }
        eraser.words((room_id, stamp), pdu);
        let batch = &mut eraser.draft.batch;
        tables::UNREAD_ENDS.delete(batch, &end);
        if let Some(parent) = relation_of(pdu) {
            tables::RELATIONS.delete(batch, &(room, cx.event(&parent.event_id), stamp));
        }
        tables::EVENTS.delete(batch, &(cx.event(&pdu.event_id),));
        tables::TIMELINE.delete(batch, &(room, stamp));
    }
    Ok(None)
}

/// Deletes what a state event replaced, as it stands beside the event: of a member event, the name that the user had.
fn forget_replaced(eraser: &mut Eraser<'_>, at: (Name, Stamp), row: journal::Row<TimelineRow>) {
    if row.value.replaces.is_none() {
        return;
    }
    let cx = eraser.cx();
    let class = cx.class_until(row.expires);
    let batch = &mut eraser.draft.batch;
    tables::TIMELINE.delete(batch, &at);
    tables::TIMELINE.put(batch, &at, &TimelineRow { replaces: None, ..row.value }, class, row.expires);
}

/// Deletes the rows of the user's files: with them goes the only key of each. A picture in use has another row still.
fn clear_files(eraser: &mut Eraser<'_>, user_id: &UserId, from: Option<Name>) -> Result<Option<Name>, ReadError> {
    let cx = eraser.cx();
    for found in tables::MEDIA.scan_from(cx.view, &(), &(from.unwrap_or(FIRST),)) {
        let (key, row) = found?;
        if eraser.is_spent() {
            return Ok(Some(key.0));
        }
        eraser.looked_at(1);
        if row.value.owner != user_id {
            continue;
        }
        tables::MEDIA.delete(&mut eraser.draft.batch, &key);
        if let Some(file) = row.value.file
            && !media::is_kept(&cx, &file.object)?
        {
            eraser.objects.push(file.object);
        }
    }
    Ok(None)
}

/// The same of the user's pictures that a room still uses.
fn clear_pictures(eraser: &mut Eraser<'_>, user_id: &UserId, from: Option<Name>) -> Result<Option<Name>, ReadError> {
    let cx = eraser.cx();
    for found in tables::KEPT_MEDIA.scan_from(cx.view, &(), &(from.unwrap_or(FIRST),)) {
        let (key, row) = found?;
        if eraser.is_spent() {
            return Ok(Some(key.0));
        }
        eraser.looked_at(1);
        if row.value.media.owner != user_id {
            continue;
        }
        tables::KEPT_MEDIA.delete(&mut eraser.draft.batch, &key);
        if let Some(file) = row.value.media.file {
            tables::KEPT_OBJECTS.delete(&mut eraser.draft.batch, &(cx.name(&file.object),));
            eraser.objects.push(file.object);
        }
    }
    Ok(None)
}
