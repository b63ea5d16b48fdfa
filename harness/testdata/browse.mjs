// Opens pages of HARNESS_REPORT in a headless Chromium, uses them as a reader
// does, and fails when a page has a script error, loads anything, or takes long.
//
//	node browse.mjs [--shot FILE.png] [--click ID] [--dark] [--size WIDTHxHEIGHT] PAGE.html...
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const pages = [], options = { size: '1440x1000' };
for (const args = process.argv.slice(2); args.length;) {
	const arg = args.shift();
	if (arg === '--dark') options.dark = true;
	else if (['--shot', '--click', '--size'].includes(arg)) options[arg.slice(2)] = args.shift();
	else pages.push(resolve(arg));
}
if (!pages.length) throw new Error('no page given');

const profile = mkdtempSync(join(tmpdir(), 'browse-'));
const chromium = spawn(process.env.CHROMIUM || 'chromium', [
	'--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking',
	'--disable-component-update', '--hide-scrollbars', '--user-data-dir=' + profile, '--remote-debugging-pipe', 'about:blank',
], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
const [, , , to, from] = chromium.stdio;

let last = 0, rest = '';
const answers = new Map(), listeners = new Set();
function ask(method, params = {}, sessionId) {
	const id = ++last;
	to.write(JSON.stringify({ id, method, params, sessionId }) + '\0');
	return new Promise((done, fail) => answers.set(id, { done, fail, method }));
}
from.setEncoding('utf8').on('data', chunk => {
	const messages = (rest + chunk).split('\0');
	rest = messages.pop();
	for (const m of messages.map(m => JSON.parse(m))) {
		const a = answers.get(m.id);
		if (!a) for (const l of listeners) l(m);
		else if (m.error) a.fail(new Error(a.method + ': ' + m.error.message));
		else a.done(m.result);
		answers.delete(m.id);
	}
});
const deadline = setTimeout(() => { console.error('the browser takes longer than 5 minutes'); chromium.kill('SIGKILL'); process.exit(1); }, 300_000);
chromium.on('error', e => { console.error('no browser: ' + e.message); process.exit(1); });

async function check(path) {
	const faults = [], address = pathToFileURL(path).href;
	const { targetId } = await ask('Target.createTarget', { url: 'about:blank' });
	const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true });
	const tell = (method, params) => ask(method, params, sessionId);
	const listen = m => {
		if (m.sessionId !== sessionId) return;
		const p = m.params;
		if (m.method === 'Runtime.exceptionThrown') faults.push('script error: ' + (p.exceptionDetails.exception?.description || p.exceptionDetails.text));
		if (m.method === 'Log.entryAdded' && p.entry.level === 'error') faults.push('error: ' + p.entry.text);
		if (m.method === 'Runtime.consoleAPICalled' && p.type === 'error') faults.push('console: ' + JSON.stringify(p.args));
		if (m.method === 'Page.javascriptDialogOpening') { faults.push('dialog: ' + p.message); tell('Page.handleJavaScriptDialog', { accept: true }); }
		if (m.method === 'Network.requestWillBeSent' && p.request.url !== address && !p.request.url.startsWith('data:')) faults.push('loads ' + p.request.url);
	};
	listeners.add(listen);
	for (const domain of ['Runtime', 'Log', 'Network', 'Page']) await tell(domain + '.enable');
	const [width, height] = options.size.split('x').map(Number);
	await tell('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
	await tell('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: options.dark ? 'dark' : 'light' }] });
	const run = async expression => {
		const r = await tell('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
		if (r.exceptionDetails) throw new Error(expression + ': ' + (r.exceptionDetails.exception?.description || r.exceptionDetails.text));
		return r.result.value;
	};
	const want = async (what, expression) => { if (!await run(expression)) faults.push(`not so: ${what}`); };
	const frame = () => run('new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))');
	const took = async (what, act) => {
		const start = performance.now();
		await act();
		await frame();
		const ms = Math.round(performance.now() - start);
		if (ms > 30_000) faults.push(`${what} takes ${ms} ms`);
		return ms;
	};
	const press = async key => { for (const type of ['keyDown', 'keyUp']) await tell('Input.dispatchKeyEvent', { type, key, ...(key.length === 1 && type === 'keyDown' ? { text: key } : {}) }); };

	const opened = await took('opening', async () => {
		await tell('Page.navigate', { url: address });
		for (let i = 0; i < 400 && await run('document.readyState !== "complete" || !document.documentElement.dataset.ready'); i++) await new Promise(r => setTimeout(r, 25));
	});
	await want('the page is ready', 'document.documentElement.dataset.ready === "yes"');
	if (options.shot) {
		if (options.click) await run(`document.getElementById("${options.click}").click()`);
		await frame();
		const { data } = await tell('Page.captureScreenshot', { format: 'png' });
		writeFileSync(options.shot, Buffer.from(data, 'base64'));
	}
	const events = await run('JSON.parse(document.getElementById("data").textContent).events.length');
	const clicks = {};
	await want('events are drawn', 'document.querySelectorAll("#marks .mark").length > 0');
	await want('no more than what is in view is drawn', 'document.querySelectorAll("#marks .mark").length < 2000');
	for (const id of ['by-member', 'by-partition', 'fold', 'fit', 'wide', 'wide', 'narrow', 'fold']) clicks[id] = await took(id, () => run(`document.getElementById("${id}").click()`));
	await run('document.getElementById("scroll").focus()');
	for (const key of ['ArrowRight', 'ArrowRight', 'ArrowLeft', 'ArrowDown', 'ArrowUp', 'f', 'p']) await press(key);
	await frame();
	await want('a key shows an event', '!document.getElementById("detail").hidden && document.querySelectorAll("#detail li").length > 0');
	await press('Escape');
	await frame();
	await want('Escape lets go', 'document.getElementById("detail").hidden');
	if (await run('!document.getElementById("fates").hidden')) {
		await run('document.querySelector("#fates tbody tr").click()');
		await frame();
		await want('a fate shows the story of its record', 'document.querySelectorAll("#detail li").length > 1');
		await run('(s => { s.value = "no such record"; s.dispatchEvent(new Event("input")); })(document.getElementById("search"))');
		await want('a search finds only what matches', 'document.querySelectorAll("#fates tbody tr").length === 0');
	}
	// The first mark that nothing lies over, in view.
	const where = await run(`(() => {
		document.getElementById("scroll").scrollIntoView();
		for (const mark of document.querySelectorAll("#marks .mark")) {
			const b = mark.getBoundingClientRect(), x = b.x + b.width / 2, y = b.y + b.height / 2;
			if (document.elementFromPoint(x, y)?.closest(".mark")) return { x, y };
		}
	})()`);
	if (where) {
		await tell('Input.dispatchMouseEvent', { type: 'mouseMoved', ...where });
		await frame();
	}
	await want('the pointer over a mark shows what it is', '!document.getElementById("tip").hidden && document.getElementById("tip").textContent.length > 3');
	await took('printing', () => tell('Page.printToPDF', { landscape: true }));
	listeners.delete(listen);
	await ask('Target.closeTarget', { targetId });
	console.log(`${faults.length ? 'FAILED' : 'ok'} ${path}: ${events} events, ready after ${opened} ms, slowest click ${Math.max(...Object.values(clicks))} ms`);
	for (const f of faults) console.error('    ' + f);
	return faults.length === 0;
}

let good = true;
try {
	for (const p of pages) good = await check(p) && good;
} catch (e) {
	console.error(e);
	good = false;
} finally {
	clearTimeout(deadline);
	chromium.once('exit', () => { rmSync(profile, { recursive: true, force: true, maxRetries: 5 }); process.exit(good ? 0 : 1); });
	ask('Browser.close').catch(() => chromium.kill());
}
