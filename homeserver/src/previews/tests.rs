use super::*;

#[test]
fn only_web_addresses_without_passwords_are_meant() {
    for (text, address) in [
        ("https://example.org/a?b=c#d", Some("https://example.org/a?b=c")),
        ("http://example.org", Some("http://example.org/")),
        ("HTTPS://EXAMPLE.ORG:443/", Some("https://example.org/")),
        ("ftp://example.org/", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("https://user:password@example.org/", None),
        ("example.org", None),
        ("", None),
    ] {
        assert_eq!(Previews::address(text).ok().as_ref().map(Url::as_str), address, "{text}");
    }
    assert_eq!(Previews::address(&format!("https://example.org/{}", "x".repeat(3_000))), Err(NoPreview));
}

#[test]
fn pictures_are_known_by_their_bytes() {
    let mut png = Vec::new();
    image::RgbImage::new(3, 2).write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    let found = known_picture(png).unwrap();
    assert_eq!((found.content_type, found.width, found.height), ("image/png", 3, 2));
    assert_eq!(known_picture(b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()), None);
    assert_eq!(known_picture(b"not a picture".to_vec()), None);
}
