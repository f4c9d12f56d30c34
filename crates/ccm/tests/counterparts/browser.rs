//! A headless Chromium, driven over WebDriver.

use std::process::Stdio;
use std::time::Instant;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::counterparts;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::process::PATIENCE;

/// A browser with one window of a fixed inner size; everything of it ends when it is dropped.
pub struct Browser {
    pub page: Client,
    driver: Child,
    address: String,
    width: u64,
    _dir: TempDir,
}

impl Browser {
    /// Starts the driver in a process namespace of its own, so that the browser cannot outlive it, and opens a window.
    pub async fn open(width: u64, height: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(counterparts::bwrap());
        command.args(["--dev-bind", "/", "/", "--proc", "/proc", "--unshare-pid", "--die-with-parent", "--"]);
        command.arg(counterparts::chromedriver()).arg("--port=0").env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", dir.path()).env("TMPDIR", dir.path()).kill_on_drop(true);
        let mut driver = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once("started successfully on port ") {
                    return format!("http://127.0.0.1:{}", rest.trim_end_matches('.'));
                }
            }
            panic!("chromedriver ended");
        };
        let address = tokio::time::timeout(PATIENCE, reading).await.expect("chromedriver starts in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
        let mut args =
            vec!["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
        args.extend(["--disable-background-networking", "--disable-component-update", "--disable-sync", &profile]);
        let size = json!({ "width": width, "height": height, "pixelRatio": 1.0, "mobile": false, "touch": false });
        let wanted = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "binary": counterparts::chromium(), "args": args, "mobileEmulation": { "deviceMetrics": size },
            },
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted.as_object().unwrap().clone());
        let page = builder.connect(&address).await.unwrap();
        Self { page, driver, address, width, _dir: dir }
    }

    /// Opens an address, and checks that the page fits the window.
    pub async fn goto(&self, url: &str) {
        self.page.goto(url).await.unwrap();
        self.fits(url).await;
    }

    /// Checks that nothing makes the page scroll sideways.
    pub async fn fits(&self, what: &str) {
        let widths = self.run("return [innerWidth, document.scrollingElement.scrollWidth]").await;
        assert_eq!(widths[0].as_u64(), Some(self.width), "{what} is shown in another width");
        assert!(widths[1].as_u64() <= Some(self.width), "{what} is {} wide in a window of {}", widths[1], self.width);
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until an expression holds in the page, which may change its document meanwhile.
    pub async fn until(&self, what: &str, expression: &str) {
        let began = Instant::now();
        while self.page.execute(&format!("return Boolean({expression})"), Vec::new()).await.ok() != Some(json!(true)) {
            if began.elapsed() > PATIENCE {
                let shown = self.run("return document.body.innerText").await;
                panic!("waited in vain for {what}; shown is:\n{}", shown.as_str().unwrap_or_default());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Clicks what a selector names.
    pub async fn click(&self, css: &str) {
        self.page.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// What the browser found wrong with the pages: errors, refused scripts, missing files.
    pub async fn complaints(&self) -> Vec<String> {
        let session = self.page.session_id().await.unwrap().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = http.post(format!("{}/session/{session}/se/log", self.address)).json(&json!({ "type": "browser" }));
        let answer: Value = asked.send().await.unwrap().json().await.unwrap();
        let entries = answer["value"].as_array().unwrap().iter();
        let serious = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        serious.map(|entry| entry["message"].to_string()).collect()
    }

    /// Closes the window and ends the driver.
    pub async fn close(mut self) {
        self.page.close().await.unwrap();
        self.driver.kill().await.unwrap();
    }
}
