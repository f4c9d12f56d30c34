// What htmx does not do: relative times, keeping what is open open, following a transcript, the state of the connection.
"use strict";
(function () {
  const STEPS = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"], [12, "month"], [Infinity, "year"]];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

  function relative(at) {
    let value = (at - Date.now()) / 1000;
    if (Math.abs(value) < 10) return "just now";
    for (const [size, unit] of STEPS) {
      if (Math.abs(value) < size) return words.format(Math.round(value), unit);
      value /= size;
    }
    return "";
  }

  function showTimes() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      const text = relative(at);
      if (time.textContent !== text) time.textContent = text;
      if (!time.title) time.title = new Date(at).toLocaleString();
    }
  }

  // A transcript is followed while its end is in sight.
  let follows = true;
  const MOST_LINES = 2000;
  function box() { return document.querySelector(".transcript"); }
  function look() {
    const transcript = box();
    if (transcript) follows = transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 40;
  }
  function follow() {
    const transcript = box();
    if (!transcript) return;
    const lines = transcript.querySelector("#transcript-lines");
    while (lines && lines.childElementCount > MOST_LINES) lines.firstElementChild.remove();
    if (follows) transcript.scrollTop = transcript.scrollHeight;
  }

  function connection(state, word) {
    const link = document.getElementById("link");
    if (!link) return;
    link.dataset.state = state;
    link.querySelector(".word").textContent = word;
  }

  document.addEventListener("DOMContentLoaded", function () {
    showTimes();
    follow();
    setInterval(showTimes, 20000);
  });
  document.addEventListener("htmx:wsOpen", () => connection("on", "live"));
  document.addEventListener("htmx:wsClose", () => connection("off", "not live, reconnecting"));
  document.addEventListener("htmx:wsError", () => connection("off", "not live, reconnecting"));
  document.addEventListener("htmx:wsBeforeMessage", look);
  document.addEventListener("htmx:wsAfterMessage", function () { showTimes(); follow(); });
  document.addEventListener("htmx:afterSettle", showTimes);

  document.addEventListener("htmx:oobBeforeSwap", function (event) {
    const shown = event.detail.target;
    const sent = event.detail.fragment.firstElementChild;
    if (!sent || sent.id !== shown.id) return;
    // Shown already: leave it alone, with what is typed or opened in it.
    if (sent.dataset.v && sent.dataset.v === shown.dataset.v) {
      event.detail.shouldSwap = false;
      return;
    }
    for (const details of shown.querySelectorAll("details[id]")) {
      const same = sent.querySelector("#" + CSS.escape(details.id));
      if (same) same.open = details.open;
    }
  });

  document.addEventListener("submit", function (event) {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id === "say") {
      event.target.form.requestSubmit();
    }
  });
})();
