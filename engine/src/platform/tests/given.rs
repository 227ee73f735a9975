//! Identities that the platform made: what is taken, and what is not.

use super::*;
use crate::erase;

const HOST: &str = "@h_aaaaaaaaaaaaaaaa:example.org";

/// Secret storage as it is whole, under the key `k`.
fn secret_storage() -> Vec<(String, Value)> {
    let secret = json!({ "encrypted": { "k": { "iv": "i", "ciphertext": "c", "mac": "m" } } });
    let description = json!({ "algorithm": "m.secret_storage.v1.aes-hmac-sha2", "iv": "i", "mac": "m" });
    let names =
        ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing", "org.matrix.msc3814"];
    let secrets = names.map(|name| (name.to_owned(), secret.clone()));
    let keys = [("m.secret_storage.key.k", description), ("m.secret_storage.default_key", json!({ "key": "k" }))];
    secrets.into_iter().chain(keys.map(|(name, content)| (name.to_owned(), content))).collect()
}

fn given_by(user_id: &str, records: NewcomerRecords, account_data: Vec<(String, Value)>) -> NewUser {
    let account_data = account_data.into_iter().map(|(name, content)| (name, to_raw_value(&content).expect("JSON")));
    let records = NewcomerRecords { account_data: account_data.collect(), ..records };
    NewUser { user_id: UserId::parse(user_id).expect("a user id"), records, by_platform: true }
}

fn given(user_id: &str) -> NewUser {
    given_by(user_id, newcomer(&UserId::parse(user_id).expect("a user id")), secret_storage())
}

/// With its device's keys and fallback key changed before they are signed.
fn given_with(change: impl FnOnce(&mut Value, &mut Value)) -> NewUser {
    given_by(HOST, newcomer_with(&UserId::parse(HOST).expect("a user id"), change), secret_storage())
}

/// With other account data.
fn given_storage(change: impl FnOnce(&mut Vec<(String, Value)>)) -> NewUser {
    let mut account_data = secret_storage();
    change(&mut account_data);
    given_by(HOST, newcomer(&UserId::parse(HOST).expect("a user id")), account_data)
}

/// With records that somebody has changed after they were signed.
fn given_changed(change: impl FnOnce(&mut Identity)) -> NewUser {
    let mut given = given(HOST);
    change(&mut given.records.identity);
    given
}

fn put(world: &World, id: &str, new_user: NewUser) -> Result<Host, Reject> {
    let command = PutHost {
        host: id.to_owned(),
        organization: "acme".to_owned(),
        account: "North".to_owned(),
        display_name: "Hal".to_owned(),
        new_user: Some(new_user),
    };
    world.run(|cx| put_host(cx, &command))
}

#[track_caller]
fn is_refused(world: &World, new_user: NewUser, is_right: fn(&Reject) -> bool) {
    let refused = put(world, "hal", new_user).expect_err("refused");
    assert!(is_right(&refused), "{refused:?}");
    assert_eq!(world.read(|cx| host(cx, "hal")).expect("reads"), None, "nothing of it is there");
}

const fn invalid(reject: &Reject) -> bool {
    matches!(reject, Reject::InvalidParam(_))
}

const fn unsigned(reject: &Reject) -> bool {
    matches!(reject, Reject::InvalidSignature(_))
}

const fn conflict(reject: &Reject) -> bool {
    matches!(reject, Reject::Conflict(_))
}

#[test]
fn a_whole_identity_is_taken_and_may_be_repeated() {
    let world = clinic();
    let given = given(HOST);
    let made = put(&world, "hal", given.clone()).expect("taken");
    assert_eq!((made.user_id.as_str(), made.made), (HOST, true));
    let stored = world.read(|cx| keys::dehydrated_device(cx, &made.user_id)).expect("its device");
    assert_eq!(stored.device_id, given.records.identity.dehydrated_device.device_id);
    let again = put(&world, "hal", given).expect("repeated");
    assert_eq!((again.user_id.as_str(), again.made), (HOST, false));
    assert!(put_host_named(&world, "hal", "acme", "North", "Hal").is_ok(), "without it");
}

#[test]
fn an_id_is_of_its_form_and_given_out_once() {
    let world = clinic();
    for wrong in [
        "@ada2:example.org",
        "@p_aaaaaaaaaaaaaaaa:example.org",
        "@h_aaaaaaaaaaaaaaa:example.org",
        "@h_aaaaaaaaaaaaaaaaa:example.org",
        "@h_aaaaaaaaaaaaaaa_:example.org",
        "@h_AAAAAAAAAAAAAAAA:example.org",
        "@h_aaaaaaaaaaaaaaaa:elsewhere.org",
    ] {
        is_refused(&world, given(wrong), invalid);
    }
    put(&world, "hugh", given(HOST)).expect("taken");
    is_refused(&world, given(HOST), conflict);
    let other = put(&world, "hugh", given("@h_bbbbbbbbbbbbbbbb:example.org")).expect_err("somebody else");
    assert!(conflict(&other), "{other:?}");
    let user_id = UserId::parse(HOST).expect("a user id");
    world.run(|cx| erase::erase_user(cx, &user_id)).expect("erased");
    is_refused(&world, given(HOST), conflict);
}

#[test]
fn a_device_that_clients_would_not_use_is_refused() {
    let world = clinic();
    is_refused(&world, given_with(|keys, _| keys["dehydrated"] = json!(false)), invalid);
    is_refused(&world, given_with(|keys, _| drop(keys.as_object_mut().expect("keys").remove("dehydrated"))), invalid);
    is_refused(&world, given_with(|_, fallback| drop(fallback.as_object_mut().expect("a key").remove("fallback"))), invalid);
    is_refused(&world, given_changed(|identity| identity.dehydrated_device.device_id = "D".into()), invalid);
    is_refused(
        &world,
        given_with(|keys, _| {
            let id = format!("curve25519:{}", keys["device_id"].as_str().expect("an id"));
            keys["keys"][id] = public_key(&key_pair("other")).into();
        }),
        invalid,
    );
    is_refused(&world, given_changed(|identity| identity.dehydrated_device.fallback_keys.clear()), invalid);
    let two = given_changed(|identity| {
        let keys = &mut identity.dehydrated_device.fallback_keys;
        let key = keys.values().next().expect("a key").clone();
        keys.insert("signed_curve25519:BBBBBB".try_into().expect("a key id"), key);
    });
    is_refused(&world, two, invalid);
    let unsigned_key = given_changed(|identity| {
        let key = raw(&json!({ "key": public_key(&key_pair("x")), "fallback": true }));
        identity.dehydrated_device.fallback_keys.values_mut().for_each(|value| *value = key.clone());
    });
    is_refused(&world, unsigned_key, unsigned);
    let without = |of: fn(&Identity) -> String| {
        given_changed(|identity| {
            let signer = format!("ed25519:{}", of(identity));
            let mut keys: Value =
                serde_json::from_str(identity.dehydrated_device.device_keys.json().get()).expect("an object");
            keys["signatures"][HOST].as_object_mut().expect("signatures").remove(&signer).expect("it was signed");
            identity.dehydrated_device.device_keys = raw(&keys);
        })
    };
    is_refused(&world, without(|identity| identity.dehydrated_device.device_id.to_string()), unsigned);
    is_refused(&world, without(self_signing_key), unsigned);
    let of_another = given(HOST).records.identity.self_signing_key;
    is_refused(&world, given_changed(|identity| identity.self_signing_key = of_another), unsigned);
    is_refused(
        &world,
        given_changed(|identity| identity.dehydrated_device.device_data = to_raw_value(&json!([])).expect("JSON")),
        |reject| matches!(reject, Reject::BadJson(_)),
    );
    is_refused(
        &world,
        given_changed(|identity| {
            identity.dehydrated_device.device_data =
                to_raw_value(&json!({ "device_pickle": "p".repeat(9_000) })).expect("JSON");
        }),
        |reject| matches!(reject, Reject::TooLarge(_)),
    );
}

fn self_signing_key(identity: &Identity) -> String {
    let key: Value = serde_json::from_str(identity.self_signing_key.json().get()).expect("an object");
    let mut keys = key["keys"].as_object().expect("keys").values();
    keys.next().and_then(Value::as_str).expect("a key").to_owned()
}

#[test]
fn secret_storage_is_whole_and_holds_nothing_else() {
    let world = clinic();
    for index in 0..secret_storage().len() {
        is_refused(&world, given_storage(|data| drop(data.remove(index))), invalid);
        is_refused(&world, given_storage(|data| data[index].1 = json!([])), invalid);
    }
    is_refused(&world, given_storage(|data| data.push(("m.direct".to_owned(), json!({})))), invalid);
    is_refused(&world, given_storage(|data| data[0].1 = json!({ "encrypted": { "other": {} } })), invalid);
    let described = given_storage(|data| {
        let description = data.iter_mut().find(|(name, _)| name == "m.secret_storage.key.k").expect("a description");
        description.1 = json!({ "algorithm": "rot13" });
    });
    is_refused(&world, described, invalid);
}

#[test]
fn invitees_come_with_their_own_each() {
    let world = clinic();
    let participant = "@p_aaaaaaaaaaaaaaaa:example.org";
    let put = |invitees: &[(&str, NewUser)]| {
        let invitees = invitees.iter().map(|(id, new_user)| Invitee {
            id: (*id).to_owned(),
            display_name: format!("{id} the invitee"),
            new_user: Some(new_user.clone()),
        });
        let command = PutSession {
            session: "s".to_owned(),
            host: "ada".to_owned(),
            invitees: invitees.collect(),
            ends_at: world.now().plus_ms(3_600_000),
        };
        world.run(|cx| put_session(cx, &command))
    };
    let both = put(&[("pat", given(participant)), ("paul", given(participant))]).expect_err("one for two");
    assert!(invalid(&both), "{both:?}");
    assert!(invalid(&put(&[("pat", given(HOST))]).expect_err("a host's")));
    let pat = ("pat", given(participant));
    let made = put(std::slice::from_ref(&pat)).expect("taken");
    assert_eq!(made.participants["pat"], (UserId::parse(participant).expect("a user id"), true));
    let paul = ("paul", new_user(user_id!("@p_cccccccccccccccc:example.org")));
    let again = put(&[pat, paul.clone()]).expect("repeated, beside one whose identity is made here");
    assert_eq!((again.participants["pat"].1, again.participants["paul"].1), (false, true));
    assert!(conflict(&put(&[("pat", given("@p_bbbbbbbbbbbbbbbb:example.org")), paul]).expect_err("pat is somebody else")));
}
