// Opens the page of `vrft serve` in headless Chromium with a wrong token and with the right one, drops pictures of several
// shapes on it, asks a question in words about the last one, writes the right words and says so; prints what is seen, and
// leaves pictures of the page in a folder:
// node --experimental-websocket words_page.mjs ADDRESS TOKEN QUESTION RIGHT_WORDS PROFILE_FOLDER SCREENSHOTS PICTURE...
import { open } from "./browser.mjs";

const [address, token, question, words, profile, screenshots, ...pictures] = process.argv.slice(2);
const { evaluate, until, drop, screenshot, finish } = await open(address, profile);
const seen = { shapes: [] };
const enter = (token) => evaluate(`{
  const field = document.getElementById("token");
  field.value = ${JSON.stringify(token)}; field.dispatchEvent(new Event("change"));
}`);
const text = (id) => evaluate(`document.getElementById("${id}").textContent`);
await until("document.readyState === 'complete' && document.getElementById('refused').textContent !== ''");
seen.without = await text("refused");
await enter("wrong");
await until(`document.getElementById("refused").textContent !== ${JSON.stringify(seen.without)}`);
seen.wrong = await text("refused");
await screenshot(`${screenshots}/token.png`);
await enter(token);
await until("document.getElementById('version').textContent !== '…'");
seen.right = await text("refused");
for (const picture of pictures) {
  await evaluate("document.getElementById('canvas').width = 0");
  await drop(picture);
  await until("document.getElementById('canvas').width > 0");
  seen.shapes.push(await evaluate(`(() => {
    const canvas = document.getElementById("canvas"), {width, height} = canvas.getBoundingClientRect();
    return {width, height, pixels: [canvas.width, canvas.height], room: [document.body.clientWidth, window.innerHeight]};
  })()`));
  await screenshot(`${screenshots}/shape-${seen.shapes.length}.png`);
}
await evaluate(`document.getElementById("question").value = ${JSON.stringify(question)}; document.getElementById("ask").click();`);
await until("!document.getElementById('remark').hidden || document.getElementById('answer').className === 'wrong'");
seen.answer = await text("answer");
seen.hidden = await evaluate("['drawing', 'writing'].map((id) => document.getElementById(id).hidden)");
seen.proposed = await evaluate("document.getElementById('right_text').value");
await evaluate(`document.getElementById("right_text").value = ${JSON.stringify(words)}; document.getElementById("correct").click();`);
await until("document.getElementById('remarked').textContent !== ''");
seen.remarked = await text("remarked");
await screenshot(`${screenshots}/words.png`);
finish(0, JSON.stringify(seen));
