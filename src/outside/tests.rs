//! Against servers on loopback, which the tests that mean to reach them allow.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn allowing(networks: &[&str]) -> config::Outside {
    config::Outside { allow: networks.iter().map(|network| network.parse().unwrap()).collect() }
}

/// A name that has these addresses, one lookup after the other; the last stays.
fn names(answers: Vec<Vec<&'static str>>) -> impl Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
    let answers = Mutex::new(answers);
    move |_| {
        let mut answers = answers.lock().unwrap();
        let now = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(async move { Ok(now.iter().map(|address| address.parse().unwrap()).collect()) })
    }
}

/// Answers each request with the next of these, and counts.
async fn server(answers: Vec<String>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, asked)
}

fn answer(status: &str, header: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

async fn post(outside: &Outside, url: &str) -> Result<u16, String> {
    let (url, client) = outside.client(url).map_err(|refused| refused.code().to_owned())?;
    match client.post(url).body("x").send().await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(Refused::within(&error).map_or("unreachable", Refused::code).to_owned()),
    }
}

#[tokio::test]
async fn addresses_in_a_url_are_judged_in_whatever_spelling() {
    let outside = Outside::new(&config::Outside::default());
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0/",
        "https://10.0.0.5:8443/x",
        "http://[fd00:ec2::254]/",
    ] {
        assert_eq!(outside.client(url).unwrap_err().code(), "url_not_allowed", "{url}");
    }
    for url in ["file:///etc/passwd", "gopher://8.8.8.8/", "https://", "x", "https://a:b@example.com/", ""] {
        assert_eq!(outside.client(url).unwrap_err().code(), "url_invalid", "{url}");
    }
    assert!(outside.client("https://8.8.8.8/x").is_ok());
    assert_eq!(outside.check("http://localhost:1/").await.unwrap_err().code(), "url_not_allowed");
    assert!(Outside::new(&allowing(&["127.0.0.0/8", "::1/128"])).check("http://localhost:1/").await.is_ok());
}

#[tokio::test]
async fn one_inside_address_among_many_is_enough() {
    let (port, asked) = server(vec![answer("200 OK", "")]).await;
    let outside = Outside::with(&allowing(&["127.0.0.1/32"]), names(vec![vec!["127.0.0.1", "10.0.0.1"]]));
    let url = format!("http://hooks.test:{port}/");
    assert_eq!(post(&outside, &url).await.unwrap_err(), "url_not_allowed");
    assert_eq!(outside.check(&url).await.unwrap_err().code(), "url_not_allowed");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_is_judged_anew_and_the_judged_address_is_the_one_called() {
    let (port, asked) = server(vec![answer("200 OK", ""), answer("200 OK", "")]).await;
    // Where it is called nothing else is: 127.0.0.1 answers, and only because that very address was looked at.
    let lookups = names(vec![vec!["127.0.0.1"], vec!["127.0.0.1"], vec!["127.0.0.2"]]);
    let outside = Outside::with(&allowing(&["127.0.0.1/32"]), lookups);
    let url = format!("http://hooks.test:{port}/");
    assert!(outside.check(&url).await.is_ok());
    assert_eq!(post(&outside, &url).await, Ok(200));
    assert_eq!(post(&outside, &url).await.unwrap_err(), "url_not_allowed");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_first_url() {
    for (status, header, expected) in [
        ("308 Permanent Redirect", "Location: http://127.0.0.2:1/\r\n", Err("url_not_allowed".to_owned())),
        ("307 Temporary Redirect", "Location: http://[::1]:1/\r\n", Err("url_not_allowed".to_owned())),
        ("307 Temporary Redirect", "Location: http://inside.test:1/\r\n", Err("url_not_allowed".to_owned())),
        // These would make a GET of it: the answer stands as it is.
        ("301 Moved Permanently", "Location: http://127.0.0.2:1/\r\n", Ok(301)),
        ("302 Found", "Location: http://inside.test:1/\r\n", Ok(302)),
    ] {
        let (port, _) = server(vec![answer(status, header)]).await;
        let lookups = names(vec![vec!["127.0.0.1"], vec!["192.168.0.1"]]);
        let outside = Outside::with(&allowing(&["127.0.0.1/32"]), lookups);
        assert_eq!(
            post(&outside, &format!("http://hooks.test:{port}/")).await,
            expected,
            "{status} {header}"
        );
    }
}

#[tokio::test]
async fn a_redirect_to_where_one_may_go_is_followed_but_not_for_ever() {
    let (target, asked) = server(vec![answer("204 No Content", "")]).await;
    let (port, _) =
        server(vec![answer("307 Temporary Redirect", &format!("Location: http://127.0.0.1:{target}/\r\n"))])
            .await;
    let outside = Outside::new(&allowing(&["127.0.0.1/32"]));
    assert_eq!(post(&outside, &format!("http://127.0.0.1:{port}/")).await, Ok(204));
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let round = answer("307 Temporary Redirect", "Location: /\r\n");
    let (port, asked) = server(vec![round; 9]).await;
    assert_eq!(post(&outside, &format!("http://127.0.0.1:{port}/")).await, Ok(307));
    assert_eq!(asked.load(Ordering::SeqCst), 1 + HOPS);
}

#[test]
fn an_address_of_this_machine_is_inside_though_it_be_public() {
    assert!(is_our_own(Ipv4Addr::LOCALHOST.into()));
    assert!(!is_our_own(Ipv4Addr::new(192, 0, 2, 1).into()));
}
