//! Finding people by their names
//! ([spec v1.19, § User directory](https://spec.matrix.org/v1.19/client-server-api/#user-directory)).
//!
//! Hosts find hosts of their organization and whoever shares a room with them; participants only the latter; plain users
//! those and whoever is in a published room. Whoever knows a whole user id finds that user, if they may know of them.

use std::collections::BTreeSet;

use journal::{Name, ReadError};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::profile;
use crate::{
    Cx,
    policy::{self, Standing},
    tables::{self, ProfileRow},
};

/// Results at most, whatever is asked for.
const RESULTS_MAX: usize = 50;

/// Users looked at by one search at most: bounds what a search costs.
const CANDIDATES_MAX: usize = 50_000;

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
    /// People with their profiles, by name.
    pub users: Vec<(OwnedUserId, ProfileRow)>,
    /// Whether there are more.
    pub limited: bool,
}

/// Finds users of whose names each word of the term begins a word; accents and capitals don't count.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn search(cx: &Cx<'_>, command: &Search) -> Result<Found, ReadError> {
    let words = words(&command.term);
    if words.is_empty() {
        return Ok(Found::default());
    }
    let mut users = Vec::new();
    for candidate in candidates(cx, &command.user_id, &command.term)? {
        if candidate == command.user_id {
            continue;
        }
        let profile = profile::member_profile(cx, &candidate)?;
        if matches(&words, &command.term, &candidate, &profile) {
            users.push((fold(profile.display_name.as_deref().unwrap_or(candidate.localpart())), candidate, profile));
        }
    }
    users.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    let limit = command.limit.min(RESULTS_MAX);
    let limited = users.len() > limit;
    users.truncate(limit);
    Ok(Found { users: users.into_iter().map(|(_, user_id, profile)| (user_id, profile)).collect(), limited })
}

fn candidates(cx: &Cx<'_>, user_id: &UserId, term: &str) -> Result<BTreeSet<OwnedUserId>, ReadError> {
    let mut candidates = BTreeSet::new();
    if let Ok(named) = UserId::parse(term.trim())
        && tables::PROFILES.exists(cx.view, &(cx.user(&named),))?
        && policy::may_see(cx, user_id, &named)?
    {
        candidates.insert(named);
    }
    match policy::standing(cx, user_id)? {
        Standing::Plain | Standing::Support => {
            for found in tables::PUBLISHED_ROOMS.scan(cx.view, &()) {
                let ((room,), _) = found?;
                members(cx, room, |membership| *membership == MembershipState::Join, &mut candidates)?;
                if candidates.len() > CANDIDATES_MAX {
                    break;
                }
            }
            share_rooms(cx, user_id, &mut candidates)?;
        }
        Standing::Host { row, .. } => {
            for found in tables::ORGANIZATION_HOSTS.scan(cx.view, &(cx.name(&row.organization),)).take(CANDIDATES_MAX) {
                candidates.insert(found?.1.value);
            }
            // A host writes first: own participants are found before there is a room together.
            for found in tables::PARTICIPANTS.scan(cx.view, &()).take(CANDIDATES_MAX) {
                let participant = found?.1.value;
                if participant.inviter == *user_id {
                    candidates.insert(participant.user_id);
                }
            }
            share_rooms(cx, user_id, &mut candidates)?;
        }
        Standing::Participant { .. } => share_rooms(cx, user_id, &mut candidates)?,
    }
    Ok(candidates)
}

fn share_rooms(cx: &Cx<'_>, user_id: &UserId, candidates: &mut BTreeSet<OwnedUserId>) -> Result<(), ReadError> {
    let present = |membership: &MembershipState| matches!(membership, MembershipState::Join | MembershipState::Invite);
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)) {
        let ((_, room), row) = found?;
        if !present(&row.value.membership) {
            continue;
        }
        members(cx, room, present, candidates)?;
    }
    Ok(())
}

fn members(
    cx: &Cx<'_>,
    room: Name,
    which: impl Fn(&MembershipState) -> bool,
    candidates: &mut BTreeSet<OwnedUserId>,
) -> Result<(), ReadError> {
    for member in tables::MEMBERS.scan(cx.view, &(room,)) {
        let member = member?.1.value;
        if which(&member.membership) {
            candidates.insert(member.user_id);
        }
    }
    Ok(())
}

fn matches(wanted: &[String], term: &str, user_id: &UserId, profile: &ProfileRow) -> bool {
    let term = term.trim().to_lowercase();
    if user_id.as_str() == term || user_id.as_str().trim_start_matches('@').starts_with(term.trim_start_matches('@')) {
        return true;
    }
    let name = words(profile.display_name.as_deref().unwrap_or_default());
    wanted.iter().all(|wanted| name.iter().any(|word| word.starts_with(wanted.as_str())))
}

fn words(text: &str) -> Vec<String> {
    fold(text)
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// Without accents and capitals.
fn fold(text: &str) -> String {
    text.nfkd().filter(|character| !is_combining_mark(*character)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_by_the_beginnings_of_their_words() {
        let user_id = ruma::user_id!("@x1:example.org");
        for (term, name, expected) in [
            ("ada", "Ada Byron", true),
            ("byr", "Ada Byron", true),
            ("by ad", "Ada Byron", true),
            ("yron", "Ada Byron", false),
            ("jose", "José Núñez (Clínica Norte)", true),
            ("nunez nor", "José Núñez (Clínica Norte)", true),
            ("JOSÉ", "jose", true),
            ("x1", "Ada Byron", true),
            ("@x1:example.org", "Ada Byron", true),
            ("ada x", "Ada Byron", false),
        ] {
            let profile = ProfileRow { display_name: Some(name.to_owned()), ..ProfileRow::default() };
            assert_eq!(matches(&words(term), term, user_id, &profile), expected, "{term} in {name}");
        }
    }
}
