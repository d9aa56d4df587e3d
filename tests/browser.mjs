// Headless Chromium, driven over its DevTools: opens a page, which is then looked at and worked with.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

export async function open(address, profile) {
  const chromium = spawn("chromium", [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank",
  ], { stdio: ["ignore", "ignore", "pipe"] });
  function finish(code, text) {
    if (text) console.log(text);
    chromium.once("exit", () => process.exit(code));
    chromium.kill("SIGKILL");
  }
  setTimeout(() => finish(1, "the page never answered"), 120_000);

  const url = await new Promise((found) => {
    let said = "";
    chromium.stderr.on("data", (data) => {
      said += data;
      const match = said.match(/DevTools listening on (ws:\S+)/);
      if (match) found(match[1]);
    });
  });
  const socket = new WebSocket(url);
  await new Promise((opened) => { socket.onopen = opened; });
  const waiting = new Map();
  let last = 0;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    waiting.get(message.id)?.(message);
  };
  function call(method, params, sessionId) {
    const id = ++last;
    socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((answered) => waiting.set(id, answered)).then((message) => {
      if (message.error) throw new Error(`${method}: ${message.error.message}`);
      return message.result;
    });
  }
  const { targetId } = await call("Target.createTarget", { url: address });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });

  /* The value of an expression in the page. */
  async function evaluate(expression) {
    const parameters = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await call("Runtime.evaluate", parameters, sessionId);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }
  async function until(expression) {
    for (;;) {
      if (await evaluate(expression).catch(() => false)) return;
      await new Promise((later) => setTimeout(later, 50));
    }
  }
  /* Drops a file on the page. */
  async function drop(path) {
    const bytes = readFileSync(path).toString("base64");
    await evaluate(`{
      const bytes = Uint8Array.from(atob(${JSON.stringify(bytes)}), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "photo.png", { type: "image/png" }));
      document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }`);
  }
  /* A picture of the page as it is seen now. */
  async function screenshot(path) {
    const { data } = await call("Page.captureScreenshot", {}, sessionId);
    writeFileSync(path, Buffer.from(data, "base64"));
  }
  /* Takes all boxes away, draws one by mouse, corners in shares of the canvas, and says that it is right. */
  async function correct([x1, y1, x2, y2]) {
    await evaluate(`{ let all; while ((all = document.querySelectorAll("#found tbody button")).length) all[0].click(); }`);
    const canvas = await evaluate(`(() => {
      document.getElementById("canvas").scrollIntoView();
      const {left, top, width, height} = document.getElementById("canvas").getBoundingClientRect();
      return {left, top, width, height};
    })()`);
    const mouse = (type, x, y) => call("Input.dispatchMouseEvent", {
      type, x: canvas.left + x * canvas.width, y: canvas.top + y * canvas.height, button: "left", buttons: 1, clickCount: 1,
    }, sessionId);
    await mouse("mousePressed", x1, y1);
    await mouse("mouseMoved", (x1 + x2) / 2, (y1 + y2) / 2);
    await mouse("mouseMoved", x2, y2);
    await mouse("mouseReleased", x2, y2);
    await until("document.querySelectorAll('#found tbody tr').length === 1");
    await evaluate(`document.getElementById("edit").click()`);
    await until("document.getElementById('remarked').textContent !== ''");
    return evaluate("document.getElementById('remarked').textContent");
  }
  return { evaluate, until, drop, screenshot, correct, finish };
}
