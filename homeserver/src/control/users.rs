//! `vestibule user`: what the operator does to accounts.

use engine::account::{self, ChangePassword, Moderate, Register, Restriction, Secret};
use engine::tables::{UserKind, UserRow};
use engine::{Reject, Requester};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::http::ApiError;

/// Letters and digits of a password that the server chooses: 100 bits.
const PASSWORD_LENGTH: usize = 20;

/// What a command asks about users. A user is named by the id or by the part before the colon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of_users", rename_all = "snake_case")]
pub enum UserOrder {
    /// A new plain account.
    Create {
        /// The name.
        user: String,
        /// Its password; a random one if there is none.
        password: Option<Secret>,
        /// Whether it is an administrator's.
        admin: bool,
    },
    /// All users.
    List,
    /// Another password; all devices are logged out.
    Password {
        /// Whose.
        user: String,
        /// The password; a random one if there is none.
        password: Option<Secret>,
    },
    /// Puts something on an account, or takes it off.
    Set {
        /// Whose.
        user: String,
        /// What.
        mark: Mark,
        /// Which of the two.
        on: bool,
    },
}

/// What can be put on an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It can be used for nothing but to log out.
    Locked,
    /// It can only read and clear up after itself.
    Suspended,
    /// It is a server administrator's.
    Admin,
}

/// Carries out an order.
///
/// # Errors
/// As the engine says.
pub async fn execute(app: &App, order: UserOrder) -> Result<Value, ApiError> {
    match order {
        UserOrder::Create { user, password, admin } => create(app, &user, password, admin).await,
        UserOrder::List => {
            let users = app.read(account::users)?;
            Ok(json!({ "users": users.iter().map(shown).collect::<Vec<_>>() }))
        }
        UserOrder::Password { user, password } => {
            let (user_id, given) = (parse(app, &user)?, password.is_some());
            let password = password.unwrap_or_else(|| random_password(app));
            let password_hash = app.passwords.hash(password.clone(), app.entropy).await?;
            let requester = Requester { user_id, device_id: None, appservice: None };
            let command = ChangePassword { requester, password_hash, logout_devices: true };
            app.run(|cx| account::change_password(cx, &command)).await?;
            Ok(with_password(&command.requester.user_id, &password, given))
        }
        UserOrder::Set { user, mark, on } => {
            let user_id = parse(app, &user)?;
            let restriction = match mark {
                Mark::Locked => Some(Restriction::Lock),
                Mark::Suspended => Some(Restriction::Suspend),
                Mark::Admin => None,
            };
            match restriction {
                Some(restriction) => {
                    let command = Moderate { by: None, user_id: user_id.clone(), restriction, on };
                    app.run(|cx| account::moderate(cx, &command)).await?;
                }
                None => app.run(|cx| account::set_admin(cx, &user_id, on)).await?,
            }
            Ok(json!({ "user_id": user_id, "mark": mark, "on": on }))
        }
    }
}

async fn create(app: &App, user: &str, password: Option<Secret>, admin: bool) -> Result<Value, ApiError> {
    let localpart = parse(app, user)?.localpart().to_owned();
    let given = password.is_some();
    let password = password.unwrap_or_else(|| random_password(app));
    let password_hash = Some(app.passwords.hash(password.clone(), app.entropy).await?);
    let command = Register { localpart, kind: UserKind::Plain, password_hash, appservice: None, device: None, admin };
    let (user_id, _) = app.run(|cx| account::register(cx, &command)).await?;
    Ok(with_password(&user_id, &password, given))
}

fn parse(app: &App, user: &str) -> Result<OwnedUserId, ApiError> {
    let user_id = UserId::parse_with_server_name(user.to_lowercase(), &app.server.name);
    let user_id = user_id.ok().filter(|user_id| app.server.is_local(user_id));
    user_id.ok_or_else(|| Reject::InvalidUsername("this is not the name of a user of this server".into()).into())
}

fn random_password(app: &App) -> Secret {
    Secret::new(app.entropy.id(PASSWORD_LENGTH))
}

/// A password is told to whoever did not choose it, this once.
fn with_password(user_id: &UserId, password: &Secret, given: bool) -> Value {
    let mut answer = json!({ "user_id": user_id });
    if !given {
        answer["password"] = password.expose().into();
    }
    answer
}

fn shown(user: &UserRow) -> Value {
    json!({
        "user_id": user.user_id,
        "kind": user.kind,
        "created": user.created,
        "admin": user.admin,
        "locked": user.locked,
        "suspended": user.suspended,
        "deactivated": user.deactivated,
    })
}
