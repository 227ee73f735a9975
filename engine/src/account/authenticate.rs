//! From an access token to who asks
//! ([spec v1.19, § Using access tokens](https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens)).

use ruma::{OwnedDeviceId, UserId};

use super::{tokens::token_name, users};
use crate::{Appservice, Cx, Reject, Requester, Stop, tables};

/// What a request brought along.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The access token.
    pub token: &'a str,
    /// Whom an application service speaks for (`user_id`).
    pub user_id: Option<&'a str>,
    /// On which of their devices (MSC3202, `device_id`).
    pub device_id: Option<&'a str>,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Who.
    pub requester: Requester,
    /// The token was got by refreshing and has not been used before: [`super::confirm_tokens`] has to note it.
    pub first_use: bool,
    /// The account is locked: all that is left is to log out.
    pub locked: bool,
}

/// Who asks. A participant's token ends with the session, to the moment.
///
/// # Errors
/// `M_UNKNOWN_TOKEN`: with `soft_logout` if the client can refresh and go on. For application services `M_FORBIDDEN` outside
/// their namespace or for a user that is not registered, `M_UNKNOWN_DEVICE` (MSC4326).
pub fn authenticate(cx: &Cx<'_>, credentials: &Credentials<'_>) -> Result<Authenticated, Stop> {
    let name = token_name(cx, credentials.token);
    if let Some(row) = tables::ACCESS_TOKENS.get(cx.view, &(name,))? {
        let row = row.value;
        let entry = users::entry(cx, &row.user_id)?;
        if entry.over {
            return Err(Reject::UnknownToken { soft_logout: false }.into());
        }
        if row.expires.is_some_and(|expires| expires <= cx.now()) {
            return Err(Reject::UnknownToken { soft_logout: true }.into());
        }
        let requester = Requester { user_id: row.user_id, device_id: Some(row.device_id), appservice: None };
        return Ok(Authenticated { requester, first_use: row.got_with.is_some(), locked: entry.locked });
    }
    // Compared by their hashes: the time it takes tells nothing about the token.
    let known =
        cx.server.appservices.iter().find(|(_, appservice)| token_name(cx, &appservice.registration.as_token) == name);
    let Some((id, appservice)) = known else {
        return Err(Reject::UnknownToken { soft_logout: false }.into());
    };
    masquerade(cx, id, appservice, credentials)
}

fn masquerade(cx: &Cx<'_>, id: &str, appservice: &Appservice, credentials: &Credentials<'_>) -> Result<Authenticated, Stop> {
    let mut locked = false;
    let user_id = match credentials.user_id {
        None => appservice.user_id.clone(),
        Some(asserted) => {
            let user_id = UserId::parse(asserted).map_err(|_| Reject::invalid_param("`user_id` is not a user id"))?;
            if user_id != appservice.user_id {
                if !cx.server.is_local(&user_id) || !appservice.interest.user(&user_id) {
                    return Err(Reject::forbidden("this user is not in the application service's namespace").into());
                }
                match tables::USERS.get(cx.view, &(cx.user(&user_id),))? {
                    Some(row) if row.value.deactivated => return Err(Reject::UserDeactivated.into()),
                    Some(row) => locked = row.value.locked,
                    None => return Err(Reject::forbidden("the application service has not registered this user").into()),
                }
            }
            user_id
        }
    };
    let device_id = credentials.device_id.map(OwnedDeviceId::from);
    if let Some(device_id) = &device_id
        && !tables::DEVICES.exists(cx.view, &(cx.user(&user_id), cx.device(device_id)))?
    {
        return Err(Reject::UnknownDevice.into());
    }
    let requester = Requester { user_id, device_id, appservice: Some(id.to_owned()) };
    Ok(Authenticated { requester, first_use: false, locked })
}

/// Whether who asked may still ask: for requests that wait (`/sync`), after each waking.
///
/// # Errors
/// `M_UNKNOWN_TOKEN` when the device is gone or the session is over, `M_USER_LOCKED`.
pub fn check_requester(cx: &Cx<'_>, requester: &Requester) -> Result<(), Stop> {
    let gone = || Stop::from(Reject::UnknownToken { soft_logout: false });
    if requester.appservice.is_some() {
        return Ok(());
    }
    let entry = users::entry(cx, &requester.user_id)?;
    if entry.over {
        return Err(gone());
    }
    if entry.locked {
        return Err(Reject::UserLocked.into());
    }
    match &requester.device_id {
        Some(device_id) if !tables::DEVICES.exists(cx.view, &(cx.user(&requester.user_id), cx.device(device_id)))? => {
            Err(gone())
        }
        _ => Ok(()),
    }
}
