//! What a user is to the policy, with what the policy has to know of them.

use journal::ReadError;
use ruma::{OwnedUserId, UserId};

use super::retention;
use crate::{
    Cx, Reject, Stop,
    tables::{self, HostRow, ParticipantRow, UserKind, UserRow},
};

/// The localpart of the support user, played by the bridge.
const SUPPORT: &str = "support";

/// What a user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Belongs to no organization; also users of application services, and users who don't exist.
    Plain,
    /// `@support`, while an application service plays it.
    Support,
    /// A host.
    Host {
        /// What the platform says of them.
        row: HostRow,
        /// Whether chat is switched on for their account.
        chat_enabled: bool,
        /// For how long their account keeps text.
        text_retention_ms: u64,
    },
    /// A participant.
    Participant {
        /// What the platform says of them.
        row: ParticipantRow,
        /// The inviter's organization; `None` when the inviter is gone.
        organization: Option<String>,
        /// Whether chat is switched on for the inviter's account.
        chat_enabled: bool,
        /// For how long the inviter's account keeps text.
        text_retention_ms: u64,
    },
}

impl Standing {
    /// Whether chat is switched on for them (F12).
    #[must_use]
    pub const fn chat_enabled(&self) -> bool {
        match self {
            Self::Plain | Self::Support => true,
            Self::Host { chat_enabled, .. } | Self::Participant { chat_enabled, .. } => *chat_enabled,
        }
    }

    /// For how long what they say is kept, as far as it is for them to say (D11); never for less than L.
    #[must_use]
    pub const fn text_retention_ms(&self, cx: &Cx<'_>) -> u64 {
        match self {
            Self::Plain | Self::Support => cx.server.retention_ms,
            Self::Host { text_retention_ms, .. } | Self::Participant { text_retention_ms, .. } => *text_retention_ms,
        }
    }
}

/// What `user` is.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn standing(cx: &Cx<'_>, user: &UserId) -> Result<Standing, ReadError> {
    let row = tables::USERS.get(cx.view, &(cx.user(user),))?;
    standing_of(cx, user, row.as_ref().map(|row| &row.value))
}

/// What `user` is, who is about to do what suspended users may not
/// ([spec v1.19, § Account suspension](https://spec.matrix.org/v1.19/client-server-api/#account-suspension)).
///
/// # Errors
/// `M_USER_SUSPENDED`; [`Stop::Read`].
pub(super) fn acting(cx: &Cx<'_>, user: &UserId) -> Result<Standing, Stop> {
    let row = tables::USERS.get(cx.view, &(cx.user(user),))?.map(|row| row.value);
    if row.as_ref().is_some_and(|row| row.suspended) {
        return Err(Reject::UserSuspended.into());
    }
    Ok(standing_of(cx, user, row.as_ref())?)
}

fn standing_of(cx: &Cx<'_>, user: &UserId, row: Option<&UserRow>) -> Result<Standing, ReadError> {
    if is_support(cx, user) {
        return Ok(Standing::Support);
    }
    let name = cx.user(user);
    let Some(row) = row else { return Ok(Standing::Plain) };
    match row.kind {
        UserKind::Plain | UserKind::Appservice => Ok(Standing::Plain),
        UserKind::Host => {
            let row = tables::HOST_USERS.get(cx.view, &(name,))?.ok_or(ReadError::Damaged { table: "host_users" })?.value;
            let (chat_enabled, text_retention_ms) = settings(cx, Some(&row))?;
            Ok(Standing::Host { row, chat_enabled, text_retention_ms })
        }
        UserKind::Participant => {
            let row =
                tables::PARTICIPANTS.get(cx.view, &(name,))?.ok_or(ReadError::Damaged { table: "participants" })?.value;
            let inviter = tables::HOST_USERS.get(cx.view, &(cx.user(&row.inviter),))?.map(|host| host.value);
            let (chat_enabled, text_retention_ms) = settings(cx, inviter.as_ref())?;
            let organization = inviter.map(|host| host.organization);
            Ok(Standing::Participant { row, organization, chat_enabled, text_retention_ms })
        }
    }
}

/// Whether `user` is support: `@support` of this server, in the namespace of an application service.
#[must_use]
pub fn is_support(cx: &Cx<'_>, user: &UserId) -> bool {
    user.localpart() == SUPPORT
        && cx.server.is_local(user)
        && cx.server.appservices.values().any(|appservice| appservice.interest.user(user))
}

/// `@support:<server>`, whether or not anybody plays it.
#[must_use]
pub fn support_user_id(cx: &Cx<'_>) -> OwnedUserId {
    match UserId::parse_with_server_name(SUPPORT, cx.server.name()) {
        Ok(user_id) => user_id,
        Err(error) => unreachable!("a constant localpart is valid: {error}"),
    }
}

/// What the account of a host says: whether chat is switched on, and for how long text is kept. Without an account, or without
/// the host: it is not, and L.
fn settings(cx: &Cx<'_>, host: Option<&HostRow>) -> Result<(bool, u64), ReadError> {
    let Some(host) = host else { return Ok((false, cx.server.retention_ms)) };
    let key = (cx.name(&host.organization), cx.name(&host.account));
    let account = tables::ORGANIZATION_ACCOUNTS.get(cx.view, &key)?.map(|row| row.value);
    let text_retention_ms = retention::in_force(cx, account.as_ref().and_then(|account| account.text_retention));
    Ok((account.is_some_and(|account| account.chat_enabled), text_retention_ms))
}
