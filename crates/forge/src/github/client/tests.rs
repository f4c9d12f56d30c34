use super::*;

#[test]
fn r44_the_next_page_is_found_in_every_link_header() {
    let table = [
        (r#"<https://h/a?page=2>; rel="next", <https://h/a?page=9>; rel="last""#, Some("https://h/a?page=2")),
        (r#"<https://h/a?page=1>; rel="prev", <https://h/a?page=3>; rel="next""#, Some("https://h/a?page=3")),
        (r#"<https://h/a?q=a,b;c&page=2>;rel="next""#, Some("https://h/a?q=a,b;c&page=2")),
        (r"<https://h/a?page=2>; title=x; rel=next", Some("https://h/a?page=2")),
        (r#"<https://h/a?page=1>; rel="first""#, None),
        (r#"<https://h/a?rel="next">; rel="last""#, None),
        ("nonsense", None),
        ("<unclosed", None),
        ("", None),
    ];
    for (header, expected) in table {
        assert_eq!(next_link(header), expected, "{header}");
    }
}

#[test]
fn only_the_own_machine_is_loopback() {
    let table = [
        ("http://127.0.0.1:1/api/v3", true),
        ("http://localhost/", true),
        ("http://[::1]:8/", true),
        ("https://api.github.com", false),
        ("https://localhost.example.org", false),
    ];
    for (url, expected) in table {
        assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
    }
}

#[test]
fn a_user_without_an_id_is_known_by_login() {
    let us = Account { id: 7, login: "robot".to_owned() };
    let user = |id, login: &str| User { id, login: login.to_owned(), kind: String::new() };
    assert!(us.is(&user(7, "renamed")) && us.is(&user(0, "Robot")));
    assert!(!us.is(&user(8, "robot")) && !us.is(&user(0, "")));
}
