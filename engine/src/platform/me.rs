//! What a page has to know of the user it is for.

use journal::{ReadError, Timestamp};
use ruma::{OwnedUserId, UserId};

use crate::{
    Cx,
    account::profile,
    policy::{self, Standing},
};

/// What a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A host.
    Host,
    /// A participant.
    Participant,
    /// Neither.
    Plain,
}

/// Who invited a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inviter {
    /// The host.
    pub user_id: OwnedUserId,
    /// The host's name.
    pub display_name: Option<String>,
}

/// `GET /_vestibule/client/v1/me`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// The name.
    pub display_name: Option<String>,
    /// What they are.
    pub role: Role,
    /// Whether chat is switched on for the account.
    pub chat_enabled: bool,
    /// For how long their text is kept, unless somebody in the room, or the room, keeps it for less (D11).
    pub text_retention_ms: u64,
    /// For participants.
    pub inviter: Option<Inviter>,
    /// For participants: when the session is over.
    pub session_ends_at: Option<Timestamp>,
    /// Support, if somebody plays it.
    pub support: Option<OwnedUserId>,
}

/// What a page has to know of `user_id`.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn me(cx: &Cx<'_>, user_id: &UserId) -> Result<Me, ReadError> {
    let standing = policy::standing(cx, user_id)?;
    let (chat_enabled, text_retention_ms) = (standing.chat_enabled(), standing.text_retention_ms(cx));
    let support = Some(policy::support_user_id(cx)).filter(|support| policy::is_support(cx, support));
    let display_name = profile::member_profile(cx, user_id)?.display_name;
    let (role, inviter, session_ends_at) = match standing {
        Standing::Plain | Standing::Support => (Role::Plain, None, None),
        Standing::Host { .. } => (Role::Host, None, None),
        Standing::Participant { row, .. } => {
            let display_name = profile::member_profile(cx, &row.inviter)?.display_name;
            (Role::Participant, Some(Inviter { user_id: row.inviter, display_name }), Some(row.ends_at))
        }
    };
    Ok(Me { display_name, role, chat_enabled, text_retention_ms, inviter, session_ends_at, support })
}
