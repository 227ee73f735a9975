//! What the platform may do, and what becomes of it.

mod given;
mod names;

use journal::Timestamp;
use ruma::{OwnedUserId, UserId, serde::Raw, user_id};
use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::{
    Draft, Reject,
    account::{self, Credentials, DeviceChoice, Login, LoginProof, NewAccountData, NewDevice, NewTokens, Secret},
    keys::{self, Identity, PutDehydratedDevice},
    policy, tables,
    testing::{World, key_pair, public_key, signed, signing_key},
};

pub(crate) fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(to_raw_value(value).expect("JSON"))
}

/// An identity as the provisioner makes it, with stand-ins for what is encrypted.
pub(crate) fn newcomer(user_id: &UserId) -> NewcomerRecords {
    newcomer_with(user_id, |_, _| {})
}

/// The same, with its device's keys and fallback key changed before they are signed.
fn newcomer_with(user_id: &UserId, change: impl FnOnce(&mut Value, &mut Value)) -> NewcomerRecords {
    let (master, master_public) = signing_key();
    let cross_signing = |usage: &str| {
        let (keys, public) = signing_key();
        let key = json!({ "user_id": user_id, "usage": [usage], "keys": { format!("ed25519:{public}"): public } });
        (signed(key, user_id, &[&master]), keys)
    };
    let (self_signing, self_signing_keys) = cross_signing("self_signing");
    let (user_signing, _) = cross_signing("user_signing");
    let device_id = public_key(&key_pair("curve"));
    let device = key_pair(&device_id);
    let mut device_keys = json!({
        "user_id": user_id, "device_id": device_id, "dehydrated": true,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": { format!("ed25519:{device_id}"): public_key(&device), format!("curve25519:{device_id}"): device_id },
    });
    let mut fallback = json!({ "key": public_key(&key_pair("x")), "fallback": true });
    change(&mut device_keys, &mut fallback);
    let fallback = signed(fallback, user_id, &[&device]);
    let master_key =
        json!({ "user_id": user_id, "usage": ["master"], "keys": { format!("ed25519:{master_public}"): master_public } });
    NewcomerRecords {
        identity: Identity {
            master_key: raw(&master_key),
            self_signing_key: raw(&self_signing),
            user_signing_key: raw(&user_signing),
            dehydrated_device: PutDehydratedDevice {
                user_id: user_id.to_owned(),
                device_id: device_id.as_str().into(),
                display_name: Some("Waiting room".to_owned()),
                device_data: to_raw_value(&json!({ "algorithm": "org.matrix.msc3814.v2" })).expect("JSON"),
                device_keys: raw(&signed(device_keys, user_id, &[&device, &self_signing_keys])),
                one_time_keys: std::collections::BTreeMap::new(),
                fallback_keys: [("signed_curve25519:AAAAAA".try_into().expect("a key id"), raw(&fallback))].into(),
            },
        },
        account_data: vec![
            ("m.cross_signing.master".to_owned(), to_raw_value(&json!({ "encrypted": {} })).expect("JSON")),
            ("m.secret_storage.default_key".to_owned(), to_raw_value(&json!({ "key": "k" })).expect("JSON")),
        ],
    }
}

/// Somebody new, with the identity that this server makes.
pub(crate) fn new_user(user_id: &UserId) -> NewUser {
    NewUser { user_id: user_id.to_owned(), records: newcomer(user_id), by_platform: false }
}

pub(crate) fn organization(world: &World, organization: &str, accounts: &[(&str, bool)]) {
    let command = PutOrganization { organization: organization.to_owned(), name: organization.to_owned() };
    world.run(|cx| put_organization(cx, &command)).expect("an organization");
    for (account, chat_enabled) in accounts {
        put_account(world, organization, account, Some(*chat_enabled)).expect("an account");
    }
}

fn put_account(world: &World, organization: &str, account: &str, chat_enabled: Option<bool>) -> Result<(), Reject> {
    let command = PutOrganizationAccount {
        organization: organization.to_owned(),
        account: account.to_owned(),
        name: format!("{account} Clinic"),
        chat_enabled,
        upload_per_day: None,
        text_retention: None,
    };
    world.run(|cx| put_organization_account(cx, &command)).map(drop)
}

pub(crate) fn put_host_named(
    world: &World,
    id: &str,
    organization: &str,
    account: &str,
    name: &str,
) -> Result<Host, Reject> {
    let user_id = UserId::parse(format!("@{id}:example.org")).expect("a user id");
    let command = PutHost {
        host: id.to_owned(),
        organization: organization.to_owned(),
        account: account.to_owned(),
        display_name: name.to_owned(),
        new_user: Some(new_user(&user_id)),
    };
    world.run(|cx| put_host(cx, &command))
}

/// A session of a host with invitees `id` who become `@id`, over in an hour.
pub(crate) fn session(world: &World, session: &str, host: &str, invitees: &[&str]) -> Result<SessionPut, Reject> {
    session_until(world, session, host, invitees, world.now().plus_ms(3_600_000))
}

fn session_until(
    world: &World,
    session: &str,
    host: &str,
    invitees: &[&str],
    ends_at: Timestamp,
) -> Result<SessionPut, Reject> {
    let invitees = invitees.iter().map(|id| {
        let user_id = UserId::parse(format!("@{id}:example.org")).expect("a user id");
        let new_user = Some(new_user(&user_id));
        Invitee { id: (*id).to_owned(), display_name: format!("{id} the invitee"), new_user }
    });
    let command = PutSession { session: session.to_owned(), host: host.to_owned(), invitees: invitees.collect(), ends_at };
    world.run(|cx| put_session(cx, &command))
}

/// Logs somebody in as their page does; the access token is `token`.
fn log_in(world: &World, user_id: &UserId, device: &str, token: &str) -> Result<account::Session, Reject> {
    let one_time = Secret::new(format!("login {token}"));
    world.run(|cx| create_login_token(cx, user_id, &one_time))?;
    let device = NewDevice {
        device: DeviceChoice { wanted: None, random: device.into() },
        display_name: None,
        tokens: NewTokens {
            access_token: Secret::new(token.to_owned()),
            refresh_token: Some(Secret::new(format!("refresh {token}"))),
        },
    };
    let command = Login { proof: LoginProof::Token(one_time), device };
    world.run(|cx| account::login(cx, &command))
}

fn authenticate(world: &World, token: &str) -> Result<OwnedUserId, Reject> {
    let credentials = Credentials { token, user_id: None, device_id: None };
    let found = world.read(|cx| account::authenticate(cx, &credentials));
    match found {
        Ok(found) => Ok(found.requester.user_id),
        Err(crate::Stop::Reject(reject)) => Err(reject),
        Err(crate::Stop::Read(error)) => panic!("{error}"),
    }
}

fn display_name(world: &World, user_id: &UserId) -> Option<String> {
    world.read(|cx| account::profile::member_profile(cx, user_id)).expect("reads").display_name
}

fn clinic() -> World {
    let world = World::new();
    organization(&world, "acme", &[("North", true)]);
    put_host_named(&world, "ada", "acme", "North", "Ada Byron").expect("a host");
    world
}

#[test]
fn the_same_put_twice_changes_nothing() {
    let world = clinic();
    session(&world, "s", "ada", &["pat"]).expect("a session");
    let before = world.read(|cx| Ok::<_, ()>(cx.view.seq())).expect("reads");
    organization(&world, "acme", &[("North", true)]);
    let host = put_host_named(&world, "ada", "acme", "North", "Ada Byron").expect("a host");
    assert_eq!(host, Host { user_id: user_id!("@ada:example.org").to_owned(), made: false });
    let put = session(&world, "s", "ada", &["pat"]).expect("a session");
    assert_eq!(put.participants["pat"], (user_id!("@pat:example.org").to_owned(), false));
    assert_eq!(world.read(|cx| Ok::<_, ()>(cx.view.seq())).expect("reads"), before, "nothing was committed");
}

#[test]
fn a_second_account_makes_an_enterprise_whose_names_tell_the_account() {
    let world = clinic();
    let ada = user_id!("@ada:example.org");
    assert_eq!(display_name(&world, ada).as_deref(), Some("Ada Byron"));
    put_account(&world, "acme", "South", None).expect("an account");
    assert_eq!(display_name(&world, ada).as_deref(), Some("Ada Byron (North Clinic)"));
    put_host_named(&world, "bob", "acme", "South", "Bob").expect("a host");
    assert_eq!(display_name(&world, user_id!("@bob:example.org")).as_deref(), Some("Bob (South Clinic)"));
    put_host_named(&world, "ada", "acme", "South", "Ada Lovelace").expect("moved");
    assert_eq!(display_name(&world, ada).as_deref(), Some("Ada Lovelace (South Clinic)"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let world = clinic();
    session(&world, "s", "ada", &["pat"]).expect("a session");
    organization(&world, "other", &[("East", true)]);
    put_host_named(&world, "eve", "other", "East", "Eve").expect("a host");
    let cases: Vec<(&str, Result<(), Reject>)> = vec![
        ("account without organization", put_account(&world, "nowhere", "North", None)),
        ("host without account", put_host_named(&world, "x", "acme", "West", "X").map(drop)),
        ("host changes organization", put_host_named(&world, "ada", "other", "East", "Ada").map(drop)),
        ("host without a name", put_host_named(&world, "x", "acme", "North", " ").map(drop)),
        ("session without host", session(&world, "t", "nobody", &[]).map(drop)),
        ("session changes organization", session(&world, "s", "eve", &["pat"]).map(drop)),
        ("session in the past", session_until(&world, "t", "ada", &[], world.now()).map(drop)),
        ("session in a thousand years", session_until(&world, "t", "ada", &[], Timestamp::NEVER).map(drop)),
        ("an invitee twice", session(&world, "t", "ada", &["pat2", "pat2"]).map(drop)),
    ];
    for (case, result) in cases {
        assert!(matches!(result, Err(Reject::NotFound(_) | Reject::InvalidParam(_))), "{case}: {result:?}");
    }
}

#[test]
fn a_newcomer_has_keys_before_anybody_can_see_them() {
    let world = clinic();
    session(&world, "s", "ada", &["pat"]).expect("a session");
    let pat = user_id!("@pat:example.org");
    world
        .read(|cx| {
            assert!(tables::DEHYDRATED_DEVICES.exists(cx.view, &(cx.user(pat),))?);
            assert_eq!(tables::SIGNING_KEYS.count(cx.view, &(cx.user(pat),))?, 3);
            assert_eq!(tables::DEVICES.count(cx.view, &(cx.user(pat),))?, 0);
            assert_eq!(account::account_data(cx, pat, "m.secret_storage.default_key")?.get(), r#"{"key":"k"}"#);
            Ok::<_, crate::Stop>(())
        })
        .expect("reads");
}

#[test]
fn a_participants_identity_is_pinned_and_a_hosts_is_not() {
    let world = clinic();
    session(&world, "s", "ada", &["pat"]).expect("a session");
    for (localpart, pinned) in [("pat", true), ("ada", false)] {
        let user_id = UserId::parse(format!("@{localpart}:example.org")).expect("a user id");
        for event_type in
            ["m.cross_signing.master", "m.secret_storage.default_key", "m.secret_storage.key.x", "org.matrix.msc3814"]
        {
            let content = to_raw_value(&json!({ "mine": true })).expect("JSON");
            let command =
                NewAccountData { user_id: user_id.clone(), room_id: None, event_type: event_type.to_owned(), content };
            let set = world.run(|cx| account::set_account_data(cx, &command));
            assert_eq!(matches!(set, Err(Reject::Forbidden(_))), pinned, "{localpart} {event_type}: {set:?}");
        }
        let device = newcomer(&user_id).identity.dehydrated_device;
        let put = world.run(|cx| keys::put_dehydrated_device(cx, &device));
        assert_eq!(matches!(put, Err(Reject::Forbidden(_))), pinned, "{localpart}: {put:?}");
        let deleted = world.run(|cx| keys::delete_dehydrated_device(cx, &user_id));
        assert_eq!(matches!(deleted, Err(Reject::Forbidden(_))), pinned, "{localpart}: {deleted:?}");
    }
    let other = NewAccountData {
        user_id: user_id!("@pat:example.org").to_owned(),
        room_id: None,
        event_type: "m.direct".to_owned(),
        content: to_raw_value(&json!({})).expect("JSON"),
    };
    world.run(|cx| account::set_account_data(cx, &other)).expect("other account data is their own");
}

#[test]
fn a_session_ends_to_the_moment_and_its_participants_are_logged_out_for_good() {
    let world = clinic();
    session(&world, "s", "ada", &["pat"]).expect("a session");
    let (pat, ada) = (user_id!("@pat:example.org"), user_id!("@ada:example.org"));
    world.advance(3_600_000 - 1_000);
    let login = log_in(&world, pat, "PAGE", "pat's").expect("in");
    assert_eq!(login.expires_in_ms, Some(1_000), "no longer than the session");
    log_in(&world, ada, "HOST", "ada's").expect("in");
    world.advance(999);
    assert_eq!(authenticate(&world, "pat's"), Ok(pat.to_owned()));
    assert_eq!(world.read(|cx| due_sessions(cx, 10)).expect("reads"), Vec::<String>::new());

    world.advance(1);
    assert_eq!(authenticate(&world, "pat's"), Err(Reject::UnknownToken { soft_logout: false }));
    assert_eq!(world.read(|cx| due_sessions(cx, 10)).expect("reads"), ["s"]);
    world.run(|cx| end_session(cx, "s")).expect("ended");
    assert_eq!(world.read(|cx| due_sessions(cx, 10)).expect("reads"), Vec::<String>::new());
    assert_eq!(world.read(|cx| account::devices(cx, pat)).expect("reads"), []);
    assert_eq!(authenticate(&world, "ada's"), Ok(ada.to_owned()), "the host stays");
    assert!(matches!(log_in(&world, pat, "AGAIN", "late"), Err(Reject::Forbidden(_))));
    assert!(matches!(session(&world, "s", "ada", &["pat"]), Err(Reject::Forbidden(_))), "what is over stays over");
}

#[test]
fn an_end_may_move_while_the_session_lasts() {
    let world = clinic();
    let pat = user_id!("@pat:example.org");
    session(&world, "s", "ada", &["pat"]).expect("a session");
    log_in(&world, pat, "PAGE", "pat's").expect("in");
    let later = world.now().plus_ms(7_200_000);
    session_until(&world, "s", "ada", &["pat"], later).expect("longer");
    world.advance(3_600_000);
    assert_eq!(authenticate(&world, "pat's"), Err(Reject::UnknownToken { soft_logout: true }), "run out, not over");
    assert_eq!(world.read(next_due).expect("reads"), Some(later));
    session_until(&world, "s", "ada", &["pat"], world.now()).expect("over now");
    assert_eq!(authenticate(&world, "pat's"), Err(Reject::UnknownToken { soft_logout: false }));
    assert_eq!(world.read(|cx| due_sessions(cx, 10)).expect("reads"), ["s"]);
}

#[test]
fn an_open_page_is_told_when_its_session_moves() {
    let world = clinic();
    put_host_named(&world, "bob", "acme", "North", "Bob").expect("a host");
    session(&world, "s", "ada", &["pat"]).expect("a session");
    let pat = user_id!("@pat:example.org");
    let since = || world.read(|cx| policy::chat_state(cx, pat)).expect("reads").expect("a participant").since;
    let made = since();
    session(&world, "s", "ada", &["pat"]).expect("the same");
    assert_eq!(since(), made);
    session_until(&world, "s", "ada", &["pat"], world.now().plus_ms(7_200_000)).expect("longer");
    let longer = since();
    assert!(longer > made);
    session_until(&world, "s", "bob", &["pat"], world.now().plus_ms(7_200_000)).expect("another host's");
    assert!(since() > longer);
}

#[test]
fn whoever_is_left_out_of_a_session_is_out() {
    let world = clinic();
    session(&world, "s", "ada", &["pat", "paul"]).expect("a session");
    let pat = user_id!("@pat:example.org");
    log_in(&world, pat, "PAGE", "pat's").expect("in");
    session(&world, "s", "ada", &["paul"]).expect("without pat");
    assert_eq!(authenticate(&world, "pat's"), Err(Reject::UnknownToken { soft_logout: false }));
    let put = session(&world, "s", "ada", &["pat", "paul"]).expect("back");
    assert_eq!(put.participants["pat"], (pat.to_owned(), false), "the same user, with the same keys");
    log_in(&world, pat, "PAGE2", "again").expect("in");
    assert_eq!(authenticate(&world, "again"), Ok(pat.to_owned()));
}

#[test]
fn login_tokens_are_for_provisioned_users() {
    let world = clinic();
    world.user("plain", tables::UserKind::Plain, "D");
    for user_id in [user_id!("@plain:example.org"), user_id!("@nobody:example.org")] {
        let made = world.run(|cx| create_login_token(cx, user_id, &Secret::new("t".to_owned())));
        assert!(matches!(made, Err(Reject::NotFound(_))), "{user_id}: {made:?}");
    }
}

#[test]
fn a_key_opens_its_scope_until_it_is_revoked() {
    let world = World::new();
    let key = Secret::new("vestibule_secret".to_owned());
    let command = CreatePlatformKey {
        id: "k1".to_owned(),
        key: key.clone(),
        scopes: vec![tables::Scope::Platform],
        lifetime_ms: None,
    };
    world.run(|cx| create_platform_key(cx, &command)).expect("made");
    let none = CreatePlatformKey {
        id: "k2".to_owned(),
        key: Secret::new("useless".to_owned()),
        scopes: Vec::new(),
        lifetime_ms: None,
    };
    world.run(|cx| create_platform_key(cx, &none)).expect("made");
    let check = |key: &Secret| world.read(|cx| check_platform_key(cx, key, tables::Scope::Platform)).map(|row| row.id).ok();
    assert_eq!(check(&key).as_deref(), Some("k1"));
    assert_eq!(check(&none.key), None);
    assert_eq!(check(&Secret::new("guess".to_owned())), None);
    assert_eq!(world.read(platform_keys).expect("reads").len(), 2);
    world.run(|cx| revoke_platform_key(cx, "k1")).expect("revoked");
    assert_eq!(check(&key), None);
    assert!(matches!(world.run(|cx| revoke_platform_key(cx, "k1")), Err(Reject::NotFound(_))));
}

#[test]
fn a_page_knows_whom_it_is_for() {
    let world = World::with_appservices([crate::testing::appservice("bridge", "support")]);
    organization(&world, "acme", &[("North", true)]);
    put_host_named(&world, "ada", "acme", "North", "Ada Byron").expect("a host");
    session(&world, "s", "ada", &["pat"]).expect("a session");
    let me = |user_id: &UserId| world.read(|cx| super::me(cx, user_id)).expect("reads");
    let pat = me(user_id!("@pat:example.org"));
    assert_eq!((pat.role, pat.chat_enabled), (Role::Participant, true));
    assert_eq!(pat.inviter.and_then(|inviter| inviter.display_name).as_deref(), Some("Ada Byron"));
    assert_eq!(pat.session_ends_at, Some(world.now().plus_ms(3_600_000)));
    assert_eq!(pat.support.as_deref(), Some(user_id!("@support:example.org")));
    put_account(&world, "acme", "North", Some(false)).expect("switched off");
    assert!(!me(user_id!("@pat:example.org")).chat_enabled);
    let ada = me(user_id!("@ada:example.org"));
    assert_eq!((ada.role, ada.chat_enabled, ada.inviter), (Role::Host, false, None));
}

#[test]
fn a_message_that_waits_is_told_once_until_they_come() {
    let world = clinic();
    session(&world, "s", "ada", &["pat"]).expect("a session");
    let pat = user_id!("@pat:example.org").to_owned();
    let ada = crate::testing::Person {
        user_id: user_id!("@ada:example.org").to_owned(),
        device_id: "D".into(),
        keys: std::sync::Arc::new(key_pair("D")),
    };
    let invited = crate::testing::Person { user_id: pat.clone(), ..ada.clone() };
    let room = world.room(&ada, &[&invited]);
    let waiting = || {
        let untold = world.read(|cx| webhooks::untold(cx, 10)).expect("reads");
        untold.into_iter().map(|waiting| (waiting.place, waiting.row.event)).collect::<Vec<_>>()
    };
    assert_eq!(waiting(), [], "an invitation is no message");
    world.say(&ada, &room, "one");
    world.say(&ada, &room, "two");
    let told = waiting();
    assert!(
        matches!(&told[..], [(_, webhooks::WebhookEvent::MessageWaiting(user))] if user.user_id == pat && user.session.as_deref() == Some("s"))
    );
    world.run(|cx| webhooks::told(cx, told[0].0)).expect("told");
    world.advance(1);
    world.say(&ada, &room, "three");
    assert_eq!(waiting(), [], "they have not come since");
    world.run(|cx| webhooks::been_there(cx, &pat)).expect("noted");
    world.advance(1);
    world.say(&ada, &room, "four");
    assert_eq!(waiting().len(), 1, "they came, and went");
    world.run(|cx| webhooks::told(cx, waiting()[0].0)).expect("told");
    world.advance(crate::testing::LIFETIME_MS);
    session(&world, "s", "ada", &["pat"]).expect("they are asked back");
    world.say(&ada, &room, "five");
    assert_eq!(waiting().len(), 1, "what waited has expired");
}
