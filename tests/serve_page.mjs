// Opens the page of `vrft serve` in headless Chromium, drops a picture on it, asks for a category, takes all boxes away and
// draws one from 10 % to 60 % of the width and from 20 % to 80 % of the height instead, says that it is right, opens the
// report if there is one, and prints what is seen:
// node --experimental-websocket serve_page.mjs ADDRESS PICTURE CATEGORY PROFILE_FOLDER
import { open } from "./browser.mjs";

const [address, picture, category, profile] = process.argv.slice(2);
const { evaluate, until, drop, correct, finish } = await open(address, profile);
await until("document.readyState === 'complete' && !!document.getElementById('drop')");
await drop(picture);
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
if (seen.cells.length > 0) seen.remarked = await correct([0.1, 0.2, 0.6, 0.8]);
if (!await evaluate("document.getElementById('report').hidden")) {
  await evaluate("document.getElementById('report').open = true");
  const report = "document.querySelector('#report iframe').contentDocument";
  await until(`${report}?.querySelector("footer")`);
  seen.report = await evaluate(`${report}.querySelector("h1").textContent`);
}
finish(0, JSON.stringify(seen));
