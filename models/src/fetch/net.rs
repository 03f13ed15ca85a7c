//! The one place where HTTP clients are made.

use std::time::Duration;

/// A client with the system's certificates, a limit for connecting, and redirects left to the caller.
pub(crate) fn client(connect: Duration) -> reqwest::Client {
    // Fails when the binary has installed one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        // Fails without a TLS provider only.
        .expect("a provider has been installed")
}
