//! What a certificate says of itself, and when it has to be renewed.

use instant_acme::{CertificateIdentifier, SuggestedWindow};
use journal::Timestamp;
use rustls::pki_types::{CertificateDer, Der};
use x509_cert::Certificate;
use x509_cert::der::{self, Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectAltName};
use x509_cert::time::Time;

/// Bytes of a serial number's tag and length: it has 20 bytes itself (RFC 5280, 4.1.2.2), so its length takes one.
const HEADER_BYTES: usize = 2;

/// A certificate that the server has.
#[derive(Debug)]
pub(super) struct Held {
    from: Timestamp,
    until: Timestamp,
    /// Its end, for the operator.
    pub(super) until_text: String,
    names: Vec<String>,
    /// What the authority calls it when asked when to renew it; without an `AuthorityKeyIdentifier` there is none
    /// ([RFC 9773](https://www.rfc-editor.org/rfc/rfc9773#section-4.1)).
    pub(super) id: Option<CertificateIdentifier<'static>>,
}

/// When the authority wants a certificate renewed: at a random moment between the two, so that not all come at once
/// ([RFC 9773](https://www.rfc-editor.org/rfc/rfc9773#section-4.2)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl From<&SuggestedWindow> for Window {
    fn from(window: &SuggestedWindow) -> Self {
        let moment = |seconds: i64| Timestamp::from_ms(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000));
        Self { start: moment(window.start.unix_timestamp()), end: moment(window.end.unix_timestamp()) }
    }
}

impl Held {
    pub(super) fn read(certificate: &CertificateDer<'_>) -> der::Result<Self> {
        let certificate = Certificate::from_der(certificate)?;
        let body = certificate.tbs_certificate();
        let moment = |time: Time| {
            Timestamp::from_ms(u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(Timestamp::NEVER.as_ms()))
        };
        let names = match body.get_extension::<SubjectAltName>()? {
            Some((_, SubjectAltName(names))) => names.iter().filter_map(domain).collect(),
            None => Vec::new(),
        };
        let authority = body.get_extension::<AuthorityKeyIdentifier>()?.and_then(|(_, authority)| authority.key_identifier);
        let serial = body.serial_number().to_der()?;
        let id = authority.zip(serial.get(HEADER_BYTES..)).map(|(authority, serial)| {
            CertificateIdentifier::new(Der::from_slice(authority.as_bytes()), Der::from_slice(serial)).into_owned()
        });
        let validity = body.validity();
        let until_text = validity.not_after.to_string();
        Ok(Self { from: moment(validity.not_before), until: moment(validity.not_after), until_text, names, id })
    }

    /// Whether it is for all of `domains`, which are in small letters.
    pub(super) fn covers(&self, domains: &[String]) -> bool {
        domains.iter().all(|domain| self.names.contains(domain))
    }

    /// When to renew it: in the authority's window, if it names one (`random` says where), else with a third of its time left.
    /// With a sixth left in any case: an authority's mistake must not let it run out.
    pub(super) fn due(&self, window: Option<Window>, now: Timestamp, random: u32) -> Timestamp {
        let lifetime_ms = self.until.as_ms().saturating_sub(self.from.as_ms());
        let wanted = match window {
            Some(Window { start, end }) => {
                let start = start.max(now);
                let span_ms = end.as_ms().saturating_sub(start.as_ms());
                let into_ms = u128::from(span_ms) * u128::from(random) / u128::from(u32::MAX);
                start.plus_ms(u64::try_from(into_ms).unwrap_or(span_ms))
            }
            None => self.until.minus_ms(lifetime_ms / 3),
        };
        wanted.min(self.until.minus_ms(lifetime_ms / 6))
    }
}

fn domain(name: &GeneralName) -> Option<String> {
    let GeneralName::DnsName(domain) = name else { return None };
    let domain: &str = domain.as_ref();
    Some(domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    /// 2026-01-01 and 2026-04-01.
    const FROM: Timestamp = Timestamp::from_ms(1_767_225_600_000);
    const UNTIL: Timestamp = Timestamp::from_ms(1_775_001_600_000);
    const DAY_MS: u64 = 86_400_000;

    fn held() -> Held {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = Issuer::new(authority, authority_key);
        let mut params = CertificateParams::new(["Chat.example.org".to_owned(), "192.0.2.1".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(vec![0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 4, 1));
        Held::read(params.signed_by(&key, &authority).unwrap().der()).unwrap()
    }

    #[test]
    fn a_certificate_tells_its_time_its_names_and_what_the_authority_calls_it() {
        let held = held();
        assert_eq!((held.from, held.until, held.until_text.as_str()), (FROM, UNTIL, "2026-04-01T00:00:00Z"));
        assert!(held.covers(&["chat.example.org".to_owned()]));
        assert!(!held.covers(&["chat.example.org".to_owned(), "www.example.org".to_owned()]));
        // As in RFC 9773, 4.1: the serial number with the byte that says that it is positive.
        assert_eq!(held.id.unwrap().serial, "AIdlQyE");
        assert!(Held::read(&CertificateDer::from_slice(b"no certificate")).is_err());
    }

    #[test]
    fn it_is_renewed_when_the_authority_says_but_never_too_late() {
        let (held, now) = (held(), FROM.plus_ms(DAY_MS));
        let days = |days: u64| FROM.plus_ms(days * DAY_MS);
        let window = |start, end| Some(Window { start: days(start), end: days(end) });
        assert_eq!(held.due(None, now, 0), days(60));
        assert_eq!([0, u32::MAX].map(|random| held.due(window(50, 52), now, random)), [days(50), days(52)]);
        // A window that has begun goes on from now; one that is over, or that the certificate does not reach, does not wait.
        assert_eq!([0, u32::MAX].map(|random| held.due(window(0, 3), now, random)), [now, days(3)]);
        assert_eq!(held.due(window(0, 1), days(2), u32::MAX), days(2));
        assert_eq!(held.due(window(89, 200), now, u32::MAX), days(75));
    }
}
