//! Finding people by their names
//! ([spec v1.19, § User directory](https://spec.matrix.org/v1.19/client-server-api/#user-directory)).
//!
//! Hosts find hosts of their organization, whomever they invited, and support; participants whoever shares a room with them;
//! plain users those and whoever is in a published room. Whoever knows a whole user id finds that user, if they may know of
//! them.

mod listing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use journal::{Name, ReadError};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use crate::{
    Cx,
    policy::{self, Standing},
    tables::{self, ProfileRow},
    words::{fold, words},
};
pub(crate) use listing::Directory;

/// Results at most, whatever is asked for.
const RESULTS_MAX: usize = 50;
/// Words of a term that are looked for.
const TERM_WORDS_MAX: usize = 10;
/// Users whose names and rooms one search looks at: bounds what it costs.
const LOOKS_MAX: usize = 1_000;
/// Rooms of one user that are looked at.
const ROOMS_MAX: usize = 1_000;

/// `POST /user_directory/search`.
#[derive(Clone, Debug)]
pub struct Search {
    /// Who searches.
    pub user_id: OwnedUserId,
    /// Part of a name.
    pub term: String,
    /// Results wanted.
    pub limit: usize,
}

/// Whom a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// People with their profiles, those whose word is nearest to the term first.
    pub users: Vec<(OwnedUserId, ProfileRow)>,
    /// Whether there are more.
    pub limited: bool,
}

/// Finds users of whose names each word of the term begins a word; accents and capitals don't count.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn search(cx: &Cx<'_>, command: &Search) -> Result<Found, ReadError> {
    let (wanted, viewer) = (wanted(&command.term), Viewer::new(cx, &command.user_id)?);
    let limit = command.limit.min(RESULTS_MAX);
    let mut found = Found::default();
    if let Ok(named) = UserId::parse(command.term.trim())
        && named != command.user_id
        && let Some(row) = tables::PROFILES.get(cx.view, &(cx.user(&named),))?
        && policy::may_see(cx, &command.user_id, &named)?
    {
        found.users.push((named, row.value));
    }
    let candidates = viewer.candidates(cx, &wanted)?;
    found.limited = candidates.cut || candidates.users.len() > LOOKS_MAX;
    let mut matching = Vec::new();
    for (word, user_id) in candidates.users.into_iter().take(LOOKS_MAX) {
        // One more than is answered, to know that there is more; which of many with one word is no matter.
        if found.users.len() + matching.len() > limit {
            break;
        }
        let known = user_id == command.user_id || found.users.iter().any(|(other, _)| *other == user_id);
        if !known && let Some(profile) = viewer.look(cx, &user_id, &wanted)? {
            let name = fold(profile.display_name.as_deref().unwrap_or(user_id.localpart()));
            matching.push((word, name, user_id, profile));
        }
    }
    matching.sort_by(|one, other| (&one.0, &one.1, &one.2).cmp(&(&other.0, &other.1, &other.2)));
    found.users.extend(matching.into_iter().map(|(_, _, user_id, profile)| (user_id, profile)));
    found.limited |= found.users.len() > limit;
    found.users.truncate(limit);
    viewer.keep_visible(cx, found)
}

/// The different words of a term; a user id's server is none of them.
fn wanted(term: &str) -> BTreeSet<String> {
    let term = term.trim();
    let term = term.strip_prefix('@').map_or(term, |id| id.split(':').next().unwrap_or(id));
    words(term).map(|word| word.folded).take(TERM_WORDS_MAX).collect()
}

/// Who searches, and what decides whom they find.
struct Viewer<'a> {
    user_id: &'a UserId,
    standing: Standing,
    /// The rooms they are in or invited to.
    rooms: BTreeSet<Name>,
}

impl<'a> Viewer<'a> {
    fn new(cx: &Cx<'_>, user_id: &'a UserId) -> Result<Self, ReadError> {
        let standing = policy::standing(cx, user_id)?;
        // A host's people are all in directories: whom they are in a room with does not matter.
        let rooms = if matches!(standing, Standing::Host { .. }) { BTreeSet::new() } else { rooms(cx, user_id)? };
        Ok(Self { user_id, standing, rooms })
    }

    /// Users who may match the words.
    fn candidates(&self, cx: &Cx<'_>, wanted: &BTreeSet<String>) -> Result<listing::Candidates, ReadError> {
        let mut all = listing::Candidates::default();
        if wanted.is_empty() {
            return Ok(all);
        }
        for directory in self.directories() {
            let found = directory.candidates(cx, wanted)?;
            all.cut |= found.cut;
            all.users.extend(found.users);
        }
        let mut others = BTreeSet::new();
        match self.standing {
            Standing::Host { .. } => drop(others.insert(policy::support_user_id(cx))),
            Standing::Participant { .. } | Standing::Support => {
                for room in &self.rooms {
                    members(cx, *room, &mut others)?;
                }
            }
            Standing::Plain => {}
        }
        all.users.extend(others.into_iter().map(|user_id| (String::new(), user_id)));
        Ok(all)
    }

    fn directories(&self) -> Vec<Directory> {
        match &self.standing {
            Standing::Host { row, .. } => {
                vec![Directory::Organization(row.organization.clone()), Directory::Invited(self.user_id.to_owned())]
            }
            Standing::Plain => vec![Directory::Plain],
            Standing::Participant { .. } | Standing::Support => Vec::new(),
        }
    }

    /// The user's profile, if they have all the words.
    fn look(&self, cx: &Cx<'_>, user_id: &UserId, wanted: &BTreeSet<String>) -> Result<Option<ProfileRow>, ReadError> {
        let Some(profile) = tables::PROFILES.get(cx.view, &(cx.user(user_id),))?.map(|row| row.value) else {
            return Ok(None);
        };
        let plain = self.standing == Standing::Plain;
        let words = listing::words_of(user_id, profile.display_name.as_deref(), plain);
        let matches = wanted.iter().all(|wanted| words.iter().any(|word| word.starts_with(wanted.as_str())));
        let found = matches && (!plain || self.meets(cx, user_id)?);
        Ok(found.then_some(profile))
    }

    /// Only those of whom the viewer may know: what the directories say may be older than what the policy does.
    fn keep_visible(&self, cx: &Cx<'_>, mut found: Found) -> Result<Found, ReadError> {
        let mut visible = Vec::with_capacity(found.users.len());
        for (user_id, profile) in found.users {
            if policy::may_see(cx, self.user_id, &user_id)? {
                visible.push((user_id, profile));
            }
        }
        found.users = visible;
        Ok(found)
    }

    /// Whether the user is in a published room, or in one with the viewer.
    fn meets(&self, cx: &Cx<'_>, user_id: &UserId) -> Result<bool, ReadError> {
        for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)).take(ROOMS_MAX) {
            let ((_, room), row) = found?;
            let membership = &row.value.membership;
            if is_present(membership) && self.rooms.contains(&room)
                || *membership == MembershipState::Join && tables::PUBLISHED_ROOMS.exists(cx.view, &(room,))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

const fn is_present(membership: &MembershipState) -> bool {
    matches!(membership, MembershipState::Join | MembershipState::Invite)
}

fn rooms(cx: &Cx<'_>, user_id: &UserId) -> Result<BTreeSet<Name>, ReadError> {
    let mut rooms = BTreeSet::new();
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)).take(ROOMS_MAX) {
        let ((_, room), row) = found?;
        if is_present(&row.value.membership) {
            rooms.insert(room);
        }
    }
    Ok(rooms)
}

/// Adds who is in a room or invited to it, as long as there are not too many already.
fn members(cx: &Cx<'_>, room: Name, to: &mut BTreeSet<OwnedUserId>) -> Result<(), ReadError> {
    for member in tables::MEMBERS.scan(cx.view, &(room,)) {
        let member = member?.1.value;
        if to.len() < LOOKS_MAX && is_present(&member.membership) {
            to.insert(member.user_id);
        }
    }
    Ok(())
}
