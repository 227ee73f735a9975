//! Tokens, devices, account data, push rules, profiles and the directory.

use ruma::{
    OwnedUserId, UserId,
    api::client::push::{PusherIds, PusherInit, PusherKind},
    push::{Action, HttpPusherData, NewPushRule, NewSimplePushRule, RuleKind},
    user_id,
};
use serde_json::{json, value::to_raw_value};

use super::*;
use crate::{
    Decision, Reject, Requester, Stop,
    room::membership,
    tables::{self, UserKind},
    testing::{World, appservice},
};

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn new_device(device: &str, token: &str, refresh: bool) -> NewDevice {
    NewDevice {
        device: DeviceChoice { wanted: Some(device.into()), random: "RANDOM".into() },
        display_name: Some("A browser".to_owned()),
        tokens: NewTokens {
            access_token: secret(token),
            refresh_token: refresh.then(|| secret(&format!("refresh {token}"))),
        },
    }
}

fn register_user(world: &World, localpart: &str) -> Result<OwnedUserId, Reject> {
    let command = Register {
        localpart: localpart.to_owned(),
        kind: UserKind::Plain,
        password_hash: Some("hash".to_owned()),
        appservice: None,
        device: None,
        admin: false,
    };
    world.run(|cx| register(cx, &command)).map(|(user_id, _)| user_id)
}

fn log_in(world: &World, user_id: &UserId, device: &str, token: &str, refresh: bool) -> Result<Session, Reject> {
    let proof = LoginProof::Password { user_id: user_id.to_owned(), hash: "hash".to_owned() };
    let command = Login { proof, device: new_device(device, token, refresh) };
    world.run(|cx| login(cx, &command))
}

fn check<T>(result: Result<T, Stop>) -> Result<T, Reject> {
    result.map_err(|stop| match stop {
        Stop::Reject(reject) => reject,
        Stop::Read(error) => panic!("{error}"),
    })
}

fn authenticated(world: &World, token: &str) -> Result<Authenticated, Reject> {
    check(world.read(|cx| authenticate(cx, &Credentials { token, user_id: None, device_id: None })))
}

/// As the server does it: a first use is noted.
fn use_token(world: &World, token: &str) -> Result<Requester, Reject> {
    let found = authenticated(world, token)?;
    if found.first_use {
        world.run(|cx| confirm_tokens(cx, &secret(token)))?;
    }
    Ok(found.requester)
}

fn refresh_token(world: &World, old: &str, new: &str) -> Result<Option<u64>, Reject> {
    let tokens = NewTokens { access_token: secret(new), refresh_token: Some(secret(&format!("refresh {new}"))) };
    let command = Refresh { refresh_token: secret(&format!("refresh {old}")), tokens };
    world.run(|cx| refresh(cx, &command))
}

const HARD: Result<(), Reject> = Err(Reject::UnknownToken { soft_logout: false });
const SOFT: Result<(), Reject> = Err(Reject::UnknownToken { soft_logout: true });

fn alice() -> (World, OwnedUserId) {
    let world = World::new();
    let alice = register_user(&world, "alice").expect("registers");
    (world, alice)
}

#[test]
fn names_that_can_be_registered() {
    let (world, _) = alice();
    for (localpart, expected) in [
        ("bob", Ok(())),
        ("b.o_b-2/x=+", Ok(())),
        ("alice", Err(Reject::UserInUse)),
        ("Bob", Err(Reject::InvalidUsername("".into()))),
        ("", Err(Reject::InvalidUsername("".into()))),
        ("böb", Err(Reject::InvalidUsername("".into()))),
        ("b ob", Err(Reject::InvalidUsername("".into()))),
        (&"x".repeat(250), Err(Reject::InvalidUsername("".into()))),
    ] {
        let found = check(world.read(|cx| check_available(cx, localpart, None))).map(drop);
        assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected), "{localpart}: {found:?}");
        if let (Err(found), Err(expected)) = (&found, &expected) {
            assert_eq!(std::mem::discriminant(found), std::mem::discriminant(expected), "{localpart}: {found:?}");
        }
    }
}

#[test]
fn namespaces_are_kept() {
    let world = World::with_appservices([appservice("bridge", "support")]);
    let by = |localpart: &str, appservice: Option<&str>| {
        check(world.read(|cx| check_available(cx, localpart, appservice))).is_ok()
    };
    assert!(by("alice", None));
    assert!(!by("support-x", None), "exclusive");
    assert!(by("support-x", Some("bridge")));
    assert!(!by("alice", Some("bridge")), "outside its namespace");
}

#[test]
fn a_new_access_token_ends_the_old_pair_when_it_is_first_used() {
    let (world, alice) = alice();
    assert_eq!(log_in(&world, &alice, "D", "a1", true).expect("in").expires_in_ms, Some(ACCESS_TOKEN_MS));
    assert_eq!(use_token(&world, "a1").expect("valid").device_id.as_deref(), Some("D".into()));
    // The answer got lost: the same refresh token works again.
    refresh_token(&world, "a1", "lost").expect("refreshed");
    refresh_token(&world, "a1", "a2").expect("refreshed");
    assert!(authenticated(&world, "lost").is_err(), "replaced before it was used");
    assert!(use_token(&world, "a1").is_ok(), "the old token is valid until the new one is used");
    assert!(authenticated(&world, "a2").expect("valid").first_use);
    use_token(&world, "a2").expect("valid");
    assert!(!authenticated(&world, "a2").expect("valid").first_use);
    assert_eq!(authenticated(&world, "a1").map(drop), HARD);
    assert_eq!(refresh_token(&world, "a1", "a3").map(drop), HARD);
    refresh_token(&world, "a2", "a3").expect("the new refresh token works");
}

#[test]
fn a_new_refresh_token_ends_the_old_one_too() {
    let (world, alice) = alice();
    log_in(&world, &alice, "D", "a1", true).expect("in");
    refresh_token(&world, "a1", "a2").expect("refreshed");
    refresh_token(&world, "a2", "a3").expect("refreshed, without a2 having been used");
    assert_eq!(refresh_token(&world, "a1", "x").map(drop), HARD);
    use_token(&world, "a3").expect("valid");
    world
        .read(|cx| {
            assert_eq!(tables::DEVICE_TOKENS.count(cx.view, &(cx.user(&alice),))?, 2, "one pair is left");
            Ok::<_, journal::ReadError>(())
        })
        .expect("reads");
}

#[test]
fn a_token_that_has_run_out_is_refreshed_not_wiped() {
    let (world, alice) = alice();
    log_in(&world, &alice, "D", "a1", true).expect("in");
    log_in(&world, &alice, "E", "for ever", false).expect("in");
    world.advance(ACCESS_TOKEN_MS);
    assert_eq!(authenticated(&world, "a1").map(drop), SOFT);
    assert_eq!(authenticated(&world, "for ever").map(drop), Ok(()));
    assert_eq!(authenticated(&world, "never was").map(drop), HARD);
    refresh_token(&world, "a1", "a2").expect("refreshed");
    assert_eq!(use_token(&world, "a2").map(drop), Ok(()));
}

#[test]
fn logging_in_to_a_known_device_ends_its_tokens() {
    let (world, alice) = alice();
    log_in(&world, &alice, "D", "a1", false).expect("in");
    let mut renamed = new_device("D", "a2", false);
    renamed.display_name = Some("Another name".to_owned());
    let proof = LoginProof::Password { user_id: alice.clone(), hash: "hash".to_owned() };
    let command = Login { proof, device: renamed };
    world.run(|cx| login(cx, &command)).expect("in");
    assert_eq!(authenticated(&world, "a1").map(drop), HARD);
    let device = check(world.read(|cx| device(cx, &alice, "D".into()))).expect("a device");
    assert_eq!(device.display_name.as_deref(), Some("A browser"), "a known device keeps its name");
}

#[test]
fn a_login_token_works_once_and_for_a_minute() {
    let (world, alice) = alice();
    let make = |token: &str| world.run(|cx| create_login_token(cx, &alice, &secret(token))).expect("made");
    let enter =
        |token: &str, access: &str| Login { proof: LoginProof::Token(secret(token)), device: new_device("D", access, true) };
    make("once");
    let command = enter("once", "a1");
    // Two at once: both decide, one gets in.
    let (one, other) = (
        world.decide(&|cx| login(cx, &command)).expect("decides"),
        world.decide(&|cx| login(cx, &command)).expect("decides"),
    );
    let commit = |decision| match decision {
        crate::Decision::Commit { batch, .. } => world.journal.commit_now(batch).expect("the journal writes"),
        crate::Decision::Done(_) => panic!("a login is a commit"),
    };
    assert!(matches!(commit(one), journal::Outcome::Committed(_)));
    assert!(matches!(commit(other), journal::Outcome::Conflict { .. }));
    assert!(matches!(world.run(|cx| login(cx, &command)), Err(Reject::Forbidden(_))));
    make("late");
    world.advance(LOGIN_TOKEN_MS - 1);
    make("later");
    let late = enter("late", "a2");
    world.run(|cx| login(cx, &late)).expect("just in time");
    world.advance(LOGIN_TOKEN_MS);
    let later = enter("later", "a3");
    assert!(matches!(world.run(|cx| login(cx, &later)), Err(Reject::Forbidden(_))));
}

#[test]
fn a_password_changed_meanwhile_does_not_count() {
    let (world, alice) = alice();
    log_in(&world, &alice, "D", "a1", false).expect("in");
    log_in(&world, &alice, "E", "a2", false).expect("in");
    let requester = use_token(&world, "a1").expect("valid");
    let change = ChangePassword { requester, password_hash: "new".to_owned(), logout_devices: true };
    world.run(|cx| change_password(cx, &change)).expect("changed");
    assert!(matches!(log_in(&world, &alice, "F", "a3", false), Err(Reject::Forbidden(_))));
    assert_eq!(authenticated(&world, "a1").map(drop), Ok(()), "the device that asked stays");
    assert_eq!(authenticated(&world, "a2").map(drop), HARD);
}

#[test]
fn application_services_speak_for_their_users() {
    let world = World::with_appservices([appservice("bridge", "support")]);
    world.user("support", UserKind::Appservice, "BRIDGE");
    world.user("alice", UserKind::Plain, "D");
    let ask = |user_id: Option<&str>, device_id: Option<&str>| {
        let credentials = Credentials { token: "as-bridge", user_id, device_id };
        check(world.read(|cx| authenticate(cx, &credentials))).map(|found| found.requester)
    };
    let own = ask(None, None).expect("valid");
    assert_eq!(
        (own.user_id.as_str(), own.device_id, own.appservice.as_deref()),
        ("@support:example.org", None, Some("bridge"))
    );
    assert_eq!(
        ask(Some("@support:example.org"), Some("BRIDGE")).expect("valid").device_id.as_deref(),
        Some("BRIDGE".into())
    );
    assert_eq!(ask(None, Some("OTHER")), Err(Reject::UnknownDevice));
    for user_id in ["@alice:example.org", "@support2:example.org", "@support:elsewhere.example"] {
        assert!(matches!(ask(Some(user_id), None), Err(Reject::Forbidden(_))), "{user_id}");
    }
    let requester = ask(None, None).expect("valid");
    let command = UpdateDevice { requester, device_id: "NEW".into(), display_name: Some("Desk".to_owned()) };
    assert!(world.run(|cx| update_device(cx, &command)).expect("made (MSC4190)"));
    assert!(!world.run(|cx| update_device(cx, &command)).expect("renamed"));
}

#[test]
fn a_device_goes_with_all_it_has() {
    let (world, alice) = alice();
    log_in(&world, &alice, "D", "a1", true).expect("in");
    log_in(&world, &alice, "E", "a2", true).expect("in");
    let requester = use_token(&world, "a1").expect("valid");
    set_pusher_of(&world, &requester, "key", false).expect("set");
    world.run(|cx| logout(cx, &requester)).expect("out");
    assert_eq!(authenticated(&world, "a1").map(drop), HARD);
    assert_eq!(refresh_token(&world, "a1", "x").map(drop), HARD);
    assert_eq!(check(world.read(|cx| check_requester(cx, &requester))), HARD);
    assert_eq!(world.read(|cx| pushers(cx, &alice)).expect("reads").len(), 0);
    let other = use_token(&world, "a2").expect("the other device stays");
    assert_eq!(check(world.read(|cx| check_requester(cx, &other))), Ok(()));
    world.run(|cx| logout_all(cx, &alice)).expect("out");
    assert_eq!(authenticated(&world, "a2").map(drop), HARD);
}

#[test]
fn a_device_that_refreshes_while_it_is_deleted_is_deleted_with_its_new_tokens() {
    let (world, alice) = alice();
    log_in(&world, &alice, "D", "a1", true).expect("in");
    let requester = use_token(&world, "a1").expect("valid");
    let Decision::Commit { batch, .. } = world.decide(&|cx| logout(cx, &requester)).expect("decides") else {
        panic!("it writes")
    };
    refresh_token(&world, "a1", "a2").expect("refreshed");
    let outcome = world.journal.commit_now(batch).expect("answers");
    assert!(matches!(outcome, journal::Outcome::Conflict { .. }), "it is looked again which tokens there are");
    world.run(|cx| logout(cx, &requester)).expect("out");
    assert_eq!(authenticated(&world, "a2").map(drop), HARD);
}

#[test]
fn pages_that_have_gone_away_make_room_for_new_devices() {
    let (world, alice) = alice();
    for number in 0..DEVICES_MAX {
        log_in(&world, &alice, &format!("D{number}"), &format!("a{number}"), number == 7).expect("in");
    }
    assert!(matches!(log_in(&world, &alice, "MORE", "more", true), Err(Reject::Forbidden(_))));
    world.advance(ACCESS_TOKEN_MS);
    log_in(&world, &alice, "MORE", "more", true).expect("the page that ran out made room");
    assert!(check(world.read(|cx| device(cx, &alice, "D7".into()))).is_err());
    assert!(matches!(log_in(&world, &alice, "EVEN MORE", "x", true), Err(Reject::Forbidden(_))));
}

#[test]
fn a_participants_oldest_device_makes_room() {
    let world = World::new();
    let pat = world.user("pat", UserKind::Participant, "FIRST").user_id;
    for number in 0..PARTICIPANT_DEVICES_MAX {
        world.advance(1);
        world.run(|cx| create_login_token(cx, &pat, &secret("t"))).expect("made");
        let command = Login {
            proof: LoginProof::Token(secret("t")),
            device: new_device(&format!("D{number}"), &format!("a{number}"), true),
        };
        world.run(|cx| login(cx, &command)).expect("in");
    }
    let ids: Vec<_> = world.read(|cx| devices(cx, &pat)).expect("reads").into_iter().map(|row| row.device_id).collect();
    assert_eq!(ids.len(), PARTICIPANT_DEVICES_MAX);
    assert!(!ids.iter().any(|id| id == "FIRST"), "{ids:?}");
}

#[test]
fn account_data_and_tags_are_told_to_sync() {
    let (world, alice) = alice();
    let (_, room) = alice_in_a_room(&world);
    let set = |room_id: Option<ruma::OwnedRoomId>, event_type: &str, content: &str| {
        let content = serde_json::value::RawValue::from_string(content.to_owned()).expect("JSON");
        let command = NewAccountData { user_id: alice.clone(), room_id, event_type: event_type.to_owned(), content };
        world.run(|cx| set_account_data(cx, &command))
    };
    set(None, "m.direct", r#"{"@bob:example.org":[]}"#).expect("set");
    set(Some(room.clone()), "org.example", r#"{"a":1}"#).expect("set");
    assert!(matches!(set(None, "m.direct", "[]"), Err(Reject::BadJson(_))));
    assert!(matches!(
        set(None, "m.direct", &format!("{{\"a\":\"{}\"}}", "x".repeat(ACCOUNT_DATA_BYTES_MAX))),
        Err(Reject::TooLarge(_))
    ));
    world.run(|cx| put_tag(cx, &alice, &room, "m.favourite", &json!({ "order": 0.5 }))).expect("tagged");
    world.run(|cx| put_tag(cx, &alice, &room, "u.work", &json!({}))).expect("tagged");
    world.run(|cx| delete_tag(cx, &alice, &room, "u.work")).expect("untagged");
    let found = check(world.read(|cx| room_account_data(cx, &alice, &room, "m.tag"))).expect("there");
    assert_eq!(found.get(), r#"{"tags":{"m.favourite":{"order":0.5}}}"#);
    let types: Vec<_> =
        world.read(|cx| all_account_data(cx, &alice)).expect("reads").into_iter().map(|row| row.event_type).collect();
    assert_eq!(types, ["m.direct", "m.push_rules"]);
    let changes: Vec<_> = world
        .read(|cx| {
            tables::CHANGES
                .scan(cx.view, &(cx.user(&alice),))
                .map(|row| row.map(|(_, row)| row.value))
                .collect::<Result<Vec<_>, _>>()
        })
        .expect("reads");
    assert!(changes.contains(&crate::changes::Change::AccountData { event_type: "m.direct".to_owned() }));
    assert!(changes.contains(&crate::changes::Change::RoomAccountData { room_id: room, event_type: "m.tag".to_owned() }));
}

fn alice_in_a_room(world: &World) -> (crate::testing::Person, ruma::OwnedRoomId) {
    let person = world.device(user_id!("@alice:example.org"), "ROOM");
    let room = world.room(&person, &[]);
    (person, room)
}

#[test]
fn push_rules_start_with_the_defaults_and_change() {
    let (world, alice) = alice();
    let change = |change: PushRuleChange| {
        let command = ChangePushRules { user_id: alice.clone(), change };
        world.run(|cx| change_push_rules(cx, &command))
    };
    let rules = || world.read(|cx| push_rules(cx, &alice)).expect("reads");
    assert!(rules().get(RuleKind::Override, ".m.rule.master").is_some());
    let mute = NewPushRule::Room(NewSimplePushRule::new("!r:example.org".try_into().expect("a room id"), vec![]));
    change(PushRuleChange::Put { rule: mute, after: None, before: None }).expect("put");
    assert!(rules().get(RuleKind::Room, "!r:example.org").expect("there").enabled());
    let rule = || (RuleKind::Room, "!r:example.org".to_owned());
    let (kind, rule_id) = rule();
    change(PushRuleChange::Enabled { kind, rule_id, enabled: false }).expect("off");
    let (kind, rule_id) = rule();
    change(PushRuleChange::Actions { kind, rule_id, actions: vec![Action::Notify] }).expect("set");
    let found = rules();
    let found = found.get(RuleKind::Room, "!r:example.org").expect("there");
    assert!(!found.enabled());
    assert_eq!(found.actions().len(), 1);
    let (kind, rule_id) = rule();
    change(PushRuleChange::Delete { kind, rule_id }).expect("deleted");
    let (kind, rule_id) = rule();
    assert!(matches!(change(PushRuleChange::Delete { kind, rule_id }), Err(Reject::NotFound(_))));
    let master = PushRuleChange::Delete { kind: RuleKind::Override, rule_id: ".m.rule.master".to_owned() };
    assert!(matches!(change(master), Err(Reject::InvalidParam(_))));
}

fn set_pusher_of(world: &World, requester: &Requester, pushkey: &str, append: bool) -> Result<(), Reject> {
    let ids = PusherIds::new(pushkey.to_owned(), "app".to_owned());
    let pusher = PusherInit {
        ids: ids.clone(),
        kind: PusherKind::Http(HttpPusherData::new("https://push.example/_matrix/push/v1/notify".to_owned())),
        app_display_name: "App".to_owned(),
        device_display_name: "Phone".to_owned(),
        profile_tag: None,
        lang: "en".to_owned(),
    };
    let command = SetPusher {
        requester: requester.clone(),
        app_id: ids.app_id,
        pushkey: ids.pushkey,
        pusher: Some(pusher.into()),
        append,
    };
    world.run(|cx| set_pusher(cx, &command))
}

#[test]
fn a_pusher_set_without_append_replaces_other_users() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "A"), world.user("bob", UserKind::Plain, "B"));
    let count = |person: &crate::testing::Person| world.read(|cx| pushers(cx, &person.user_id)).expect("reads").len();
    set_pusher_of(&world, &alice.requester(), "phone", false).expect("set");
    set_pusher_of(&world, &bob.requester(), "phone", true).expect("set");
    assert_eq!((count(&alice), count(&bob)), (1, 1));
    set_pusher_of(&world, &bob.requester(), "phone", false).expect("set");
    assert_eq!((count(&alice), count(&bob)), (0, 1));
}

#[test]
fn a_new_name_reaches_the_rooms() {
    let (world, alice) = alice();
    let (_, room) = alice_in_a_room(&world);
    let set = |field: &str, value: Option<serde_json::Value>| {
        let command = profile::SetField { user_id: alice.clone(), field: field.to_owned(), value };
        world.run(|cx| profile::set_field(cx, &command))
    };
    assert_eq!(set("displayname", Some("Alice B.".into())), Ok(()));
    assert_eq!(set("org.example.tz", Some("CET".into())), Ok(()));
    let member = |cx: &crate::Cx<'_>| tables::MEMBERS.get(cx.view, &(cx.room(&room), cx.user(&alice)));
    let row = world.read(member).expect("reads").expect("a member").value;
    assert_eq!(row.display_name.as_deref(), Some("Alice B."));
    let found = check(world.read(|cx| profile::profile(cx, None, &alice))).expect("a profile");
    assert_eq!(
        serde_json::Value::from_iter(profile::fields(&found)),
        json!({ "displayname": "Alice B.", "org.example.tz": "CET" })
    );
    set("org.example.tz", None).expect("removed");
    assert!(matches!(set("displayname", Some(1.into())), Err(Reject::BadJson(_))));
    assert!(matches!(set("displayname", Some("x".repeat(2_000).into())), Err(Reject::TooLarge(_))));
    assert!(matches!(set("org.example.big", Some("x".repeat(70_000).into())), Err(Reject::TooLarge(_))));
    assert!(matches!(set("Not A Field", Some(1.into())), Err(Reject::InvalidParam(_))));
}

#[test]
fn a_closed_account_is_out_of_everything() {
    let (world, alice) = alice();
    log_in(&world, &alice, "D", "a1", false).expect("in");
    let (_, room) = alice_in_a_room(&world);
    let command = Deactivate { user_id: alice.clone(), erase: false };
    world.run(|cx| deactivate(cx, &command)).expect("closed");
    assert_eq!(authenticated(&world, "a1").map(drop), HARD);
    assert_eq!(log_in(&world, &alice, "D", "a2", false).map(drop), Err(Reject::UserDeactivated));
    assert_eq!(register_user(&world, "alice"), Err(Reject::UserInUse), "the id is never used again");
    assert!(check(world.read(|cx| profile::profile(cx, None, &alice))).is_err());
    let membership = world.read(|cx| crate::room::membership_of(cx, &room, &alice)).expect("reads");
    assert_eq!(membership, Some(ruma::events::room::member::MembershipState::Leave));
}

#[test]
fn the_same_filter_has_the_same_id() {
    let (world, alice) = alice();
    let put = |filter: serde_json::Value| {
        let filter = to_raw_value(&filter).expect("JSON");
        world.run(|cx| put_filter(cx, &alice, &filter))
    };
    let first = put(json!({ "room": { "timeline": { "limit": 1 } } })).expect("stored");
    assert_eq!(put(json!({ "room": { "timeline": { "limit": 1 } } })), Ok(first.clone()));
    assert_ne!(put(json!({ "room": {} })), Ok(first.clone()));
    assert!(check(world.read(|cx| filter(cx, &alice, &first))).is_ok());
    assert!(matches!(check(world.read(|cx| filter(cx, user_id!("@bob:example.org"), &first))), Err(Reject::NotFound(_))));
}

fn publish_a_room_of(world: &World, user_id: &UserId) {
    use ruma::api::client::room::{Visibility, create_room::v3::Request};
    let mut request = Request::new();
    request.visibility = Visibility::Public;
    let random_id = ruma::RoomId::parse("!public:example.org").expect("a room id");
    let command = crate::room::create::CreateRoom { creator: user_id.to_owned(), random_id, request };
    world.run(|cx| crate::room::create::create_room(cx, &command)).expect("a room");
}

#[test]
fn people_are_found_by_those_who_may_know_of_them() {
    use crate::platform::tests::{organization, put_host_named, session};
    let world = World::new();
    register_user(&world, "plain").expect("registers");
    register_user(&world, "playful").expect("registers");
    organization(&world, "acme", &[("North", true), ("South", true)]);
    organization(&world, "other", &[("East", true)]);
    put_host_named(&world, "h1", "acme", "North", "Ada Byron").expect("a host");
    put_host_named(&world, "h2", "acme", "South", "José Núñez").expect("a host");
    put_host_named(&world, "h3", "other", "East", "Ada Elsewhere").expect("a host");
    session(&world, "s", "h1", &["p1", "p2"]).expect("a session");
    let find = |user: &str, term: &str| {
        let command = Search {
            user_id: UserId::parse(format!("@{user}:example.org")).expect("an id"),
            term: term.to_owned(),
            limit: 10,
        };
        let found = world.read(|cx| search(cx, &command)).expect("reads");
        found.users.into_iter().map(|(user_id, _)| user_id.localpart().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(find("plain", "pla"), Vec::<String>::new(), "no room together, none published");
    assert_eq!(find("plain", "@playful:example.org"), ["playful"], "whoever knows the whole id");
    assert_eq!(find("plain", "@h1:example.org"), Vec::<String>::new());
    publish_a_room_of(&world, user_id!("@playful:example.org"));
    assert_eq!(find("plain", "pla"), ["playful"]);
    assert_eq!(find("plain", "ada"), Vec::<String>::new());
    assert_eq!(find("h1", "nunez south"), ["h2"]);
    assert_eq!(find("h2", "ada"), ["h1"], "nobody of another organization");
    assert_eq!(find("h1", "invitee"), ["p1", "p2"], "a host writes first, before there is a room together");
    assert_eq!(find("h2", "invitee"), Vec::<String>::new(), "invited by another");
    assert_eq!(find("p1", "ada"), Vec::<String>::new());
    let host = world.device(user_id!("@h1:example.org"), "D");
    let participant = world.device(user_id!("@p1:example.org"), "D");
    let room = world.room(&host, &[&participant]);
    world.member(&participant, &room, membership::Action::Join);
    assert_eq!(find("h1", "invitee"), ["p1", "p2"]);
    assert_eq!(find("p1", "ada"), ["h1"]);
    assert_eq!(find("p2", "ada"), Vec::<String>::new());
}
