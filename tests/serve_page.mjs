// Opens the page of `vrft serve` in headless Chromium, drops a picture on it, asks for a category, takes all boxes away and
// draws one from 10 % to 60 % of the width and from 20 % to 80 % of the height instead, says that it is right, opens the
// report if there is one, and prints what is seen:
// node --experimental-websocket serve_page.mjs ADDRESS PICTURE CATEGORY PROFILE_FOLDER
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

const [address, picture, category, profile] = process.argv.slice(2);
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
async function evaluate(expression) {
  const { result, exceptionDetails } = await call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}
async function until(expression) {
  for (;;) {
    if (await evaluate(expression).catch(() => false)) return;
    await new Promise((later) => setTimeout(later, 50));
  }
}
await until("document.readyState === 'complete' && !!document.getElementById('drop')");
const bytes = readFileSync(picture).toString("base64");
await evaluate(`{
  const bytes = Uint8Array.from(atob(${JSON.stringify(bytes)}), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "photo.png", { type: "image/png" }));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}`);
await until("document.getElementById('canvas').width > 0");
await evaluate(`document.getElementById("category").value = ${JSON.stringify(category)}; document.getElementById("ask").click();`);
await until("document.querySelectorAll('#found tbody td').length > 0 || document.getElementById('answer').className === 'wrong'");
const seen = JSON.parse(await evaluate(`(() => {
  const canvas = document.getElementById("canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let red = 0;
  for (let n = 0; n < pixels.length; n += 4) if (pixels[n] > 200 && pixels[n + 1] < 110 && pixels[n + 2] < 110) red += 1;
  return JSON.stringify({
    version: document.getElementById("version").textContent,
    answer: document.getElementById("answer").textContent,
    cells: [...document.querySelectorAll("#found tbody td")].map((cell) => cell.textContent),
    red,
  });
})()`));
if (seen.cells.length > 0) {
  await evaluate(`{ let all; while ((all = document.querySelectorAll("#found tbody button")).length) all[0].click(); }`);
  const canvas = await evaluate(`(() => {
    document.getElementById("canvas").scrollIntoView();
    const {left, top, width, height} = document.getElementById("canvas").getBoundingClientRect();
    return {left, top, width, height};
  })()`);
  const mouse = (type, x, y) => call("Input.dispatchMouseEvent", {
    type, x: canvas.left + x * canvas.width, y: canvas.top + y * canvas.height, button: "left", buttons: 1, clickCount: 1,
  }, sessionId);
  await mouse("mousePressed", 0.1, 0.2);
  await mouse("mouseMoved", 0.4, 0.5);
  await mouse("mouseMoved", 0.6, 0.8);
  await mouse("mouseReleased", 0.6, 0.8);
  await until("document.querySelectorAll('#found tbody tr').length === 1");
  await evaluate(`document.getElementById("edit").click()`);
  await until("document.getElementById('remarked').textContent !== ''");
  seen.remarked = await evaluate("document.getElementById('remarked').textContent");
}
if (!await evaluate("document.getElementById('report').hidden")) {
  await evaluate("document.getElementById('report').open = true");
  const report = "document.querySelector('#report iframe').contentDocument";
  await until(`${report}?.querySelector("footer")`);
  seen.report = await evaluate(`${report}.querySelector("h1").textContent`);
}
finish(0, JSON.stringify(seen));
