// SPDX-License-Identifier: BSD-3-Clause
// Browsers start no Worker from file://. Here its script runs in a hidden frame instead, so that the
// search also works in a copy of the site on a disk.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc =
        "<script>window.postMessage = (data) => parent.postMessage(data, '*');</script>" +
        `<script src="${url}"></script>`;
      this.started = new Promise((resolve) => {
        frame.addEventListener("load", () => resolve(frame.contentWindow));
      });
      addEventListener("message", (event) => {
        if (event.source === frame.contentWindow) {
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        }
      });
      document.head.append(frame);
    }

    postMessage(data) {
      this.started.then((scope) => {
        scope.dispatchEvent(new MessageEvent("message", { data }));
      });
    }
  };
}
