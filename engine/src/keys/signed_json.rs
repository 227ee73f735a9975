//! Signed JSON objects: what is signed, by whom, and whether it holds
//! ([spec v1.19, Appendices § Signing JSON](https://spec.matrix.org/v1.19/appendices/#signing-json)).

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, SigningKeyAlgorithm, UserId,
    serde::{Base64, Raw},
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};

use crate::Reject;

/// The object as canonical JSON, with everything in it.
///
/// # Errors
/// `M_BAD_JSON` when it is not an object, or holds what canonical JSON cannot (floats, integers past 2⁵³).
pub(super) fn parse<T>(raw: &Raw<T>) -> Result<CanonicalJsonObject, Reject> {
    serde_json::from_str(raw.json().get())
        .map_err(|error| Reject::BadJson(format!("this is not a signed object: {error}").into()))
}

/// What signatures on `object` are made over: everything but `signatures` and `unsigned`.
///
/// # Errors
/// `M_BAD_JSON` when there is no canonical form.
pub(super) fn signed_part(object: &CanonicalJsonObject) -> Result<String, Reject> {
    to_canonical_json_string_for_signing(object)
        .map_err(|error| Reject::BadJson(format!("this object cannot be signed: {error}").into()))
}

/// The signature of `signer` on `object` made with the key `key_id`.
pub(super) fn signature<'a>(object: &'a CanonicalJsonObject, signer: &UserId, key_id: &str) -> Option<&'a str> {
    object.get("signatures")?.as_object()?.get(signer.as_str())?.as_object()?.get(key_id)?.as_str()
}

/// All signatures of `signer` on `object`: key id and signature.
pub(super) fn signatures<'a>(
    object: &'a CanonicalJsonObject,
    signer: &UserId,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let of_signer = object.get("signatures").and_then(|all| all.as_object()?.get(signer.as_str())?.as_object());
    of_signer.into_iter().flatten().filter_map(|(key_id, signature)| Some((key_id.as_str(), signature.as_str()?)))
}

/// That `signature` is `public_key`'s on `object`. All in base64.
///
/// # Errors
/// `M_INVALID_SIGNATURE` when it isn't, or when key or signature is not of the right form.
pub(super) fn check_signature(
    object: &CanonicalJsonObject,
    key_id: &str,
    public_key: &str,
    signature: &str,
) -> Result<(), Reject> {
    let refuse = || {
        Reject::InvalidSignature(format!("the signature by {key_id} does not hold: sign the object as it is sent").into())
    };
    let public_key: Base64 = Base64::parse(public_key).map_err(|_| refuse())?;
    let signature: Base64 = Base64::parse(signature).map_err(|_| refuse())?;
    let signed = signed_part(object)?;
    let algorithm = SigningKeyAlgorithm::Ed25519;
    verify_canonical_json_bytes(&algorithm, public_key.as_bytes(), signature.as_bytes(), signed.as_bytes())
        .map_err(|_| refuse())
}

/// That `object` is signed by `signer`'s key, which has to be there.
///
/// # Errors
/// `M_INVALID_SIGNATURE` when the signature is missing or does not hold.
pub(super) fn check_signed_by(
    object: &CanonicalJsonObject,
    signer: &UserId,
    key_id: &str,
    public_key: &str,
) -> Result<(), Reject> {
    let signature = signature(object, signer, key_id)
        .ok_or_else(|| Reject::InvalidSignature(format!("the signature of {signer} by {key_id} is missing").into()))?;
    check_signature(object, key_id, public_key, signature)
}

/// Adds a signature to an object that is about to be shown.
pub(super) fn add_signature(object: &mut CanonicalJsonObject, signer: &UserId, key_id: &str, signature: &str) {
    let entry = |object: &mut CanonicalJsonObject, field: &str| {
        let value = object.entry(field.to_owned()).or_insert_with(|| CanonicalJsonValue::Object(CanonicalJsonObject::new()));
        if !value.is_object() {
            *value = CanonicalJsonValue::Object(CanonicalJsonObject::new());
        }
    };
    entry(object, "signatures");
    let Some(all) = object.get_mut("signatures").and_then(CanonicalJsonValue::as_object_mut) else { return };
    entry(all, signer.as_str());
    let Some(of_signer) = all.get_mut(signer.as_str()).and_then(CanonicalJsonValue::as_object_mut) else { return };
    of_signer.insert(key_id.to_owned(), CanonicalJsonValue::String(signature.to_owned()));
}
