'use strict';
(() => {
	const page = JSON.parse(document.getElementById('data').textContent);
	const events = page.events || [], fates = page.fates || [], records = page.records || {};
	const $ = id => document.getElementById(id);
	const svgns = 'http://www.w3.org/2000/svg';
	const ROW = 28, TOP = 34, MS = 1e6, SECOND = 1e9;

	// make builds an element; text is only ever text.
	function make(tag, attrs, ...children) {
		const e = document.createElement(tag);
		for (const [k, v] of Object.entries(attrs || {})) {
			if (k === 'onclick') e.addEventListener('click', v);
			else e.setAttribute(k, v);
		}
		e.append(...children);
		return e;
	}
	function draw(parent, tag, attrs, text) {
		const e = document.createElementNS(svgns, tag);
		for (const k in attrs) e.setAttribute(k, attrs[k]);
		if (text !== undefined) e.textContent = text;
		parent.append(e);
		return e;
	}

	// length is a duration to what a reader can tell apart.
	function length(ns) {
		if (ns === 0) return '0s';
		if (ns < MS) return +(ns / 1e3).toPrecision(3) + 'µs';
		if (ns < SECOND) return +(ns / MS).toPrecision(3) + 'ms';
		if (ns < 60 * SECOND) return +(ns / SECOND).toPrecision(4) + 's';
		const s = Math.round(ns / SECOND * 100) / 100, d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
		const all = [[d, 'd'], [h, 'h'], [m, 'm'], [Math.round(s % 60 * 100) / 100, 's']];
		const first = all.findIndex(([n]) => n > 0);
		return all.slice(first).filter(([n]) => n > 0).map(([n, u]) => n + u).join('');
	}

	// Stories: the events of each record, and what leads from one record to
	// another.
	const stories = new Map(), next = new Map();
	const story = place => { if (!stories.has(place)) stories.set(place, []); return stories.get(place); };
	const join = (a, b) => { for (const [x, y] of [[a, b], [b, a]]) { if (!next.has(x)) next.set(x, new Set()); next.get(x).add(y); } };
	events.forEach((e, i) => {
		if (e.place) story(e.place).push(i);
		if (e.to) { story(e.to).push(i); join(e.place, e.to); }
		if (e.cause) join(e.cause, e.place);
	});
	// family is a record and all that came of it, or that it came of.
	function family(place) {
		const all = new Set([place]), todo = [place];
		while (todo.length) for (const n of next.get(todo.pop()) || []) if (!all.has(n)) { all.add(n); todo.push(n); }
		return all;
	}
	const storyOf = place => [...new Set([...family(place)].flatMap(p => stories.get(p) || []))].sort((a, b) => a - b);

	// Runs: from a delivery to what its handler returned; waits: until the next
	// delivery; causes: from the delivery to what was published for it.
	const runs = [], waits = [], causes = [], open = new Map(), waiting = new Map(), delivered = new Map();
	const id = (group, place) => group + '\0' + place;
	events.forEach((e, i) => {
		const k = id(e.group, e.place);
		if (e.kind === 'delivered') {
			open.set(k, i); delivered.set(k, i);
			if (waiting.has(k)) { waits.push([waiting.get(k), i]); waiting.delete(k); }
		} else if (e.kind === 'returned' || e.kind === 'fenced') {
			if (open.has(k)) { runs.push([open.get(k), i, e.outcome || 'retry']); open.delete(k); }
			if (e.kind === 'fenced') waiting.delete(k);
		} else if (e.kind === 'waiting') waiting.set(k, i);
		else if (e.kind === 'published' && e.cause && delivered.has(id(e.group, e.cause))) causes.push([delivered.get(id(e.group, e.cause)), i]);
	});

	const bad = new Set(['lost', 'pending', 'expired']);
	const ended = events.findIndex(e => e.kind === 'ended');
	// lastOf is the last event of a record in a group before the test's body ended.
	const lastOf = f => {
		const s = (stories.get(f.place) || []).filter(i => ended < 0 || i < ended);
		return s.findLast(i => events[i].group === f.group) ?? s.at(-1) ?? -1;
	};
	const ends = new Set(fates.filter(f => bad.has(f.kind)).map(lastOf));
	const problems = events.map((e, i) => i).filter(i => {
		const e = events[i];
		return ends.has(i) || e.kind === 'dead-lettered' || e.kind === 'lost' || e.kind === 'stopped' || e.kind === 'fenced' || e.outcome === 'reject';
	});
	const faults = events.map((e, i) => i).filter(i => events[i].kind === 'fault');
	const memberKinds = new Set(['subscribed', 'closed', 'stopped', 'assigned', 'started', 'revoked', 'lost']);
	const look = e => e.kind === 'ended' ? 'note' : e.kind === 'returned' ? e.outcome || 'commit' : memberKinds.has(e.kind) ? 'member' : e.kind;

	let mode = 'partition', width = 20, folding = true, chosen = -1, kin = null;
	let lanes = [], laneOf = new Map(), columns = [], columnOf = [], gaps = [], total = 0;
	const unfolded = new Set();

	const EVENTS = 'faults and notes';
	const laneName = e => mode === 'member'
		? (e.kind === 'fault' && e.text.startsWith('fault began') || !e.client && !e.member ? EVENTS : e.client)
		: e.kind === 'fault' || !e.lane && !e.group ? EVENTS : e.lane || 'group ' + e.group;

	function layLanes() {
		const names = new Set([EVENTS]);
		for (const e of events) { names.add(laneName(e)); if (mode === 'partition' && e.toLane) names.add(e.toLane); }
		const rank = n => n === EVENTS ? 0 : mode === 'partition' && n.startsWith('group ') ? 1 : 2;
		const order = [...names];
		const topic = n => n.replace(/\[\d+\]$/, ''), first = new Map(order.map((n, i) => [topic(n), i]).reverse());
		const number = n => +(/\[(\d+)\]$/.exec(n) || [0, 0])[1];
		lanes = order.sort((a, b) => rank(a) - rank(b) || (mode === 'partition' ? first.get(topic(a)) - first.get(topic(b)) || number(a) - number(b) : 0));
		laneOf = new Map(lanes.map((n, i) => [n, i]));
		$('labels').replaceChildren(...lanes.map((n, i) => make('div', { class: i % 2 ? 'odd' : '', title: n }, n)));
	}

	function layColumns() {
		columns = []; gaps = []; columnOf = new Array(events.length);
		const folds = new Map();
		if (folding) for (const f of page.folds || []) if (!unfolded.has(f.first)) folds.set(f.first + f.period, f);
		let x = 8, before = null;
		for (let i = 0; i < events.length; ) {
			const f = folds.get(i), at = events[i].at;
			const dt = before === null ? at : at - before;
			if (page.leftOut && i === page.leftOutFrom) {
				gaps.push({ x, w: 150, text: page.leftOut + ' events left out' }); x += 150;
			} else if (dt >= SECOND) {
				const unit = dt > 3600 * SECOND ? 60 * SECOND : dt > 60 * SECOND ? SECOND : 1, text = length(Math.round(dt / unit) * unit) + ' later', w = Math.max(46, 22 + 7 * text.length);
				gaps.push({ x, w, text }); x += w;
			} else if (dt > 1e5 && width >= 8) x += Math.min(width, 4 + 3 * Math.log10(dt / 1e5));
			if (f) {
				const last = f.first + (f.times - 1) * f.period;
				columns.push({ x, fold: f, at });
				for (; i < last; i++) columnOf[i] = columns.length - 1;
				before = events[last - 1].at;
				x += Math.max(width, 44);
				continue;
			}
			columns.push({ x, event: i, at });
			columnOf[i] = columns.length - 1;
			before = at;
			x += width;
			i++;
		}
		total = x + 20;
		$('space').style.width = total + 'px';
	}
	const centre = i => { const c = columns[columnOf[i]]; return c.x + (c.fold ? Math.max(width, 44) : width) / 2; };
	const y = name => TOP + laneOf.get(name) * ROW + ROW / 2;
	const laneY = e => y(laneName(e));

	function shape(g, kind, x, y, r) {
		const c = { class: 'shape' };
		switch (kind) {
		case 'published': case 'sent': case 'note': draw(g, 'circle', { ...c, cx: x, cy: y, r }); break;
		case 'delivered': draw(g, 'path', { ...c, d: `M${x - r} ${y - r}L${x + r} ${y}L${x - r} ${y + r}Z` }); break;
		case 'commit': case 'settled': draw(g, 'rect', { ...c, x: x - r * (kind === 'settled' ? .6 : .9), y: y - r * (kind === 'settled' ? .6 : .9), width: r * (kind === 'settled' ? 1.2 : 1.8), height: r * (kind === 'settled' ? 1.2 : 1.8) }); break;
		case 'retry': case 'fenced': draw(g, 'path', { ...c, d: `M${x} ${y - r}L${x + r} ${y + r * .8}L${x - r} ${y + r * .8}Z` }); break;
		case 'reject': case 'rejected': draw(g, 'path', { ...c, 'stroke-linecap': 'round', d: `M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}` }); break;
		case 'waiting': draw(g, 'circle', { ...c, cx: x, cy: y, r: r * .8, 'stroke-dasharray': '2 2' }); break;
		case 'dead-lettered': draw(g, 'path', { ...c, d: `M${x} ${y - r * 1.3}L${x + r * 1.3} ${y}L${x} ${y + r * 1.3}L${x - r * 1.3} ${y}Z` }); break;
		case 'committed': draw(g, 'path', { ...c, d: `M${x - r} ${y}L${x - r / 4} ${y + r}L${x + r} ${y - r}` }); break;
		case 'fault': draw(g, 'path', { ...c, d: `M${x + r * .4} ${y - r * 1.4}L${x - r} ${y + r * .3}H${x}L${x - r * .4} ${y + r * 1.4}L${x + r} ${y - r * .3}H${x}Z` }); break;
		default: draw(g, 'rect', { ...c, x: x - r * .5, y: y - r, width: r, height: 2 * r });
		}
	}

	function between(list, from, to) { // columns are in order of x
		let lo = 0, hi = list.length;
		while (lo < hi) { const mid = (lo + hi) >> 1; if (list[mid].x + (list[mid].w || Math.max(width, 44)) < from) lo = mid + 1; else hi = mid; }
		let end = lo;
		while (end < list.length && list[end].x <= to) end++;
		return [lo, end];
	}

	const svg = $('marks'), scroll = $('scroll');
	let all = false; // for print
	function render() {
		const view = all ? total : scroll.clientWidth, left = all ? 0 : scroll.scrollLeft, height = TOP + lanes.length * ROW;
		svg.replaceChildren();
		svg.setAttribute('width', all ? '100%' : view);
		if (all) { svg.setAttribute('viewBox', `0 0 ${total} ${height}`); svg.removeAttribute('height'); } else { svg.removeAttribute('viewBox'); svg.setAttribute('height', height); }
		lanes.forEach((_, i) => draw(svg, 'rect', { class: 'lane ' + (i % 2 ? 'odd' : ''), x: 0, y: TOP + i * ROW, width: view, height: ROW }));
		const g = draw(svg, 'g', { transform: `translate(${-left},0)` });
		const [gapFrom, gapTo] = between(gaps, left - 200, left + view + 200);
		for (const gap of gaps.slice(gapFrom, gapTo)) {
			draw(g, 'rect', { class: 'gap', x: gap.x, y: 0, width: gap.w, height });
			let d = '';
			for (let k = -height; k < gap.w; k += 9) {
				const x1 = Math.max(0, k), x2 = Math.min(gap.w, k + height);
				if (x2 > x1) d += `M${gap.x + x1} ${height - (x1 - k)}L${gap.x + x2} ${height - (x2 - k)}`;
			}
			draw(g, 'path', { class: 'hatch', d });
			draw(g, 'text', { class: 'gaptext', x: gap.x + gap.w / 2, y: TOP - 6 }, gap.text);
		}
		draw(g, 'line', { class: 'rule', x1: left, x2: left + view, y1: TOP - .5, y2: TOP - .5 });
		const [from, to] = between(columns, left - 60, left + view + 60);
		let free = -Infinity, said = null;
		for (let c = from; c < to; c++) {
			const col = columns[c];
			const text = length(col.at);
			if (text !== said && col.x >= free) {
				draw(g, 'text', { class: 'tick', x: col.x + 2, y: 14 }, text);
				free = col.x + 7 * text.length + 14;
				said = text;
			}
		}
		const first = columns[from], last = columns[to - 1];
		if (!first) return;
		const lo = first.fold ? first.fold.first : first.event, hi = last.fold ? last.fold.first + last.fold.period * last.fold.times : last.event;
		const near = ([a, b]) => b >= lo && a <= hi && columnOf[a] !== columnOf[b];
		const dim = (...is) => kin && !is.some(i => kin.has(events[i].place)) ? ' dim' : '';
		for (const [a, b, outcome] of runs.filter(near)) if (laneY(events[a]) === laneY(events[b])) draw(g, 'line', { class: `run ${outcome}` + dim(a), x1: centre(a), x2: centre(b), y1: laneY(events[a]), y2: laneY(events[b]) });
		for (const w of waits.filter(near)) draw(g, 'line', { class: 'wait' + dim(w[0]), x1: centre(w[0]) + 5, x2: centre(w[1]) - 6, y1: laneY(events[w[0]]), y2: laneY(events[w[1]]) });
		const arrow = (x1, y1, x2, y2, cls) => draw(g, 'path', { class: cls, d: `M${x1} ${y1}C${(x1 + x2) / 2} ${y1},${(x1 + x2) / 2} ${y2},${x2} ${y2}` });
		for (const c of causes.filter(near)) arrow(centre(c[0]), laneY(events[c[0]]), centre(c[1]), laneY(events[c[1]]), 'cause' + dim(c[0], c[1]));
		const r = Math.max(1.5, Math.min(5.5, width * .36));
		for (let c = from; c < to; c++) {
			const col = columns[c];
			if (col.fold) {
				const mark = draw(g, 'g', { class: 'mark repeated' + (kin && !events.slice(col.fold.first, col.fold.first + col.fold.period * col.fold.times).some(e => kin.has(e.place)) ? ' dim' : ''), 'data-fold': col.fold.first });
				const ys = events.slice(col.fold.first, col.fold.first + col.fold.period).map(laneY), top = Math.min(...ys) - 9;
				draw(mark, 'rect', { class: 'shape', x: col.x + 2, y: top, width: Math.max(width, 44) - 4, height: Math.max(...ys) + 9 - top, rx: 4 });
				draw(mark, 'text', { x: col.x + Math.max(width, 44) / 2, y: (top + Math.max(...ys) + 9) / 2 + 4 }, '×' + (col.fold.times - 2));
				continue;
			}
			const i = col.event, e = events[i], x = col.x + width / 2, at = laneY(e), kind = look(e);
			if (e.kind === 'fault') draw(g, 'line', { class: 'strike', x1: x, x2: x, y1: TOP, y2: height });
			const dimmed = kin && e.place && !kin.has(e.place) && !kin.has(e.to);
			const mark = draw(g, 'g', { class: `mark ${kind}${dimmed ? ' dim' : ''}`, 'data-i': i });
			if (e.toLane && mode === 'partition') {
				draw(mark, 'line', { class: 'cause dead', x1: x, x2: x, y1: at, y2: y(e.toLane) });
				shape(mark, kind, x, y(e.toLane), r * .8);
			}
			shape(mark, kind, x, at, r);
			draw(mark, 'rect', { class: 'hit', x: col.x, y: at - ROW / 2, width: Math.max(width, 6), height: ROW });
			if (ends.has(i)) draw(g, 'circle', { class: 'halo', cx: x, cy: at, r: 10 });
			if (i === chosen) draw(g, 'circle', { class: 'chosen', cx: x, cy: at, r: 11 });
		}
	}
	let due = false;
	const redraw = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; render(); }); } };

	function overview() {
		const c = $('overview'), w = c.clientWidth, ratio = devicePixelRatio || 1;
		c.width = w * ratio; c.height = 26 * ratio;
		const g = c.getContext('2d'), css = getComputedStyle(document.documentElement);
		g.scale(ratio, ratio);
		const colour = name => css.getPropertyValue('--' + name).trim();
		const scale = w / total, paint = (list, name, top, h) => { g.fillStyle = colour(name); for (const i of list) g.fillRect(centre(i) * scale, top, 1.5, h); };
		g.fillStyle = colour('gap');
		for (const gap of gaps) g.fillRect(gap.x * scale, 0, Math.max(1, gap.w * scale), 26);
		paint(events.keys(), 'note', 10, 6);
		paint(problems, 'reject', 4, 18);
		paint(faults, 'fault', 0, 26);
		g.strokeStyle = colour('accent'); g.lineWidth = 2;
		g.strokeRect(scroll.scrollLeft * scale + 1, 1, Math.max(6, Math.min(w - 2, scroll.clientWidth * scale - 2)), 24);
	}
	const refresh = () => { layLanes(); layColumns(); redraw(); overview(); };

	function show(i) { // has an event in view
		const f = columns[columnOf[i]];
		if (f.fold) { unfolded.add(f.fold.first); layColumns(); }
		const x = centre(i);
		if (x < scroll.scrollLeft + 60 || x > scroll.scrollLeft + scroll.clientWidth - 60) scroll.scrollLeft = x - scroll.clientWidth / 2;
		overview();
	}

	const field = (list, name, value) => { if (value !== undefined && value !== '') list.append(make('dt', {}, name), make('dd', {}, value)); };
	function choose(i, place) {
		chosen = i;
		const e = events[i];
		place = place || e && e.place;
		kin = place && stories.has(place) ? family(place) : null;
		for (const row of document.querySelectorAll('#fates tbody tr')) row.setAttribute('aria-selected', String(row.dataset.place === place));
		const d = $('detail');
		d.hidden = i < 0;
		if (i < 0) { d.replaceChildren(); redraw(); return; }
		show(i);
		const facts = make('dl');
		field(facts, 'time', '+' + length(e.at));
		field(facts, 'what', e.text);
		field(facts, 'by', e.client);
		field(facts, 'group', e.group);
		const where = make('div', {}, make('h3', {}, place || e.kind, records[place] && records[place].key ? ' · ' + records[place].key : ''));
		for (const f of fates.filter(f => f.place === place)) where.append(make('p', { class: 'quiet' }, make('span', { class: 'badge ' + f.kind }, f.kind), ' ' + f.text));
		const r = records[place];
		if (r) {
			const text = v => v === null ? 'null' : make('pre', {}, v === '' ? '(empty)' : v);
			field(facts, 'key', text(r.key)); field(facts, 'value', text(r.value));
			for (const [k, v] of r.headers || []) field(facts, 'header', make('pre', {}, k + ': ' + v));
		}
		where.append(facts);
		const list = make('ol');
		const steps = kin ? storyOf(place) : [i], at = steps.indexOf(i), from = Math.max(0, at - 150);
		for (const s of steps.slice(from, from + 300)) list.append(make('li', {}, make('button', { type: 'button', 'aria-current': String(s === i), onclick: () => choose(s, place) }, length(events[s].at).padStart(10) + ' ' + events[s].text)));
		if (steps.length > 300) list.append(make('li', { class: 'quiet' }, 'of ' + steps.length + ' events'));
		d.replaceChildren(make('div', { class: 'two' }, make('div', {}, make('h3', {}, kin ? 'Its story, and that of records published for it' : 'Event'), list), where));
		const now = list.querySelector('[aria-current=true]');
		if (now) list.scrollTop = now.offsetTop - list.offsetTop - 80;
		redraw();
	}
	const after = (list, i) => list.length ? list.find(p => p > i) ?? list[0] : -1;
	const jump = list => { const i = after(list, chosen); if (i >= 0) choose(i); };
	const visible = (i, step) => {
		for (i += step; i >= 0 && i < events.length; i += step) if (!columns[columnOf[i]].fold) return i;
		return -1;
	};
	scroll.addEventListener('keydown', e => {
		const steps = kin && chosen >= 0 ? storyOf(events[chosen].place) : [];
		let to = -1;
		switch (e.key) {
		case 'ArrowRight': to = visible(chosen, 1); break;
		case 'ArrowLeft': to = visible(chosen < 0 ? events.length : chosen, -1); break;
		case 'ArrowDown': to = steps[steps.indexOf(chosen) + 1] ?? -1; break;
		case 'ArrowUp': to = steps[steps.indexOf(chosen) - 1] ?? -1; break;
		case 'f': jump(faults); break;
		case 'p': jump(problems); break;
		case 'Escape': choose(-1); break;
		default: return;
		}
		if (e.ctrlKey || e.metaKey || e.altKey) return;
		e.preventDefault();
		if (to >= 0) choose(to);
	});
	const foldAt = first => (page.folds || []).find(f => f.first === first);
	svg.addEventListener('click', e => {
		const mark = e.target.closest('.mark');
		if (!mark) return choose(-1);
		if (mark.dataset.fold !== undefined) { unfolded.add(+mark.dataset.fold); layColumns(); redraw(); overview(); return; }
		scroll.focus({ preventScroll: true });
		choose(+mark.dataset.i);
	});
	const tip = $('tip');
	svg.addEventListener('pointermove', e => {
		const mark = e.target.closest('.mark');
		tip.hidden = !mark;
		if (!mark) return;
		if (mark.dataset.fold !== undefined) {
			const f = foldAt(+mark.dataset.fold);
			tip.textContent = `the same ${f.times - 2} times more; click to unfold`;
		} else tip.textContent = '+' + length(events[mark.dataset.i].at) + '  ' + events[mark.dataset.i].text;
		tip.style.left = Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
		tip.style.top = e.clientY + (e.clientY + 60 > innerHeight ? -36 : 16) + 'px';
	});
	svg.addEventListener('pointerleave', () => { tip.hidden = true; });
	scroll.addEventListener('scroll', () => { redraw(); overview(); });
	$('overview').addEventListener('click', e => { scroll.scrollLeft = e.offsetX / $('overview').clientWidth * total - scroll.clientWidth / 2; });
	const lanesBy = to => { mode = to; for (const m of ['partition', 'member']) $('by-' + m).setAttribute('aria-pressed', String(m === to)); refresh(); };
	$('by-partition').addEventListener('click', () => lanesBy('partition'));
	$('by-member').addEventListener('click', () => lanesBy('member'));
	$('fold').addEventListener('change', e => { folding = e.target.checked; unfolded.clear(); refresh(); });
	const widen = to => { const mid = (scroll.scrollLeft + scroll.clientWidth / 2) / total; width = Math.max(3, Math.min(60, to)); layColumns(); scroll.scrollLeft = mid * total - scroll.clientWidth / 2; redraw(); overview(); };
	$('wide').addEventListener('click', () => widen(width * 1.5));
	$('narrow').addEventListener('click', () => widen(width / 1.5));
	const fitting = () => width + (scroll.clientWidth - total - 10) / Math.max(1, columns.length);
	$('fit').addEventListener('click', () => widen(fitting()));
	$('next-fault').addEventListener('click', () => jump(faults));
	$('next-problem').addEventListener('click', () => jump(problems));
	$('next-fault').hidden = !faults.length;
	$('next-problem').hidden = !problems.length;
	addEventListener('resize', refresh);
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', overview);
	addEventListener('beforeprint', () => { $('text').open = true; all = total < 5000; render(); });
	addEventListener('afterprint', () => { all = false; render(); });

	// Fates.
	let only = fates.some(f => f.look) ? 'look' : 'all';
	const shown = 500;
	function table() {
		const words = $('search').value.toLowerCase();
		const key = f => { const r = records[f.place]; return r && r.key !== null ? r.key : ''; };
		const match = fates.filter(f => (only === 'all' || (only === 'look' ? f.look : f.kind === only)) && (!words || [f.place, f.group, f.kind, f.err || '', key(f)].join('\n').toLowerCase().includes(words)));
		$('fates').querySelector('tbody').replaceChildren(...match.slice(0, shown).map(f => {
			const go = () => { const i = lastOf(f); if (i >= 0) { choose(i, f.place); $('timeline').scrollIntoView({ block: 'nearest' }); } };
			const row = make('tr', { tabindex: 0, 'data-place': f.place, 'aria-selected': 'false', onclick: go }, make('td', {}, f.place), make('td', {}, key(f)), make('td', {}, f.group), make('td', {}, make('span', { class: 'badge ' + f.kind }, f.kind)), make('td', { class: 'n' }, f.attempts), make('td', { class: 'n' }, f.deliveries), make('td', {}, f.err || ''));
			row.addEventListener('keydown', e => { if (e.key === 'Enter') go(); });
			return row;
		}));
		const more = match.length - shown;
		$('more').textContent = [more > 0 && `${more} more: narrow the search`, page.moreFates > 0 && `${page.moreFates} more fates are not listed`, !match.length && 'no record matches'].filter(Boolean).join('; ');
	}
	function kinds() {
		const count = new Map();
		for (const f of fates) count.set(f.kind, (count.get(f.kind) || 0) + 1);
		const looks = fates.filter(f => f.look).length;
		const choices = [['look', `worth a look (${looks})`], ['all', `all (${fates.length})`], ...[...count].map(([k, n]) => [k, `${k} (${n})`])].filter(([k]) => k !== 'look' || looks);
		$('kinds').replaceChildren(...choices.map(([k, text]) => make('button', { type: 'button', 'aria-pressed': String(k === only), onclick: () => { only = k; kinds(); table(); } }, text)));
	}
	$('search').addEventListener('input', table);

	const n = (count, what) => count + ' ' + what + (count === 1 ? '' : 's');
	const groups = new Set(fates.map(f => f.group));
	$('facts').textContent = [page.clock, events.length ? length(events.at(-1).at) + ' long' : '', n(events.length + page.leftOut, 'event'), n(new Set(fates.map(f => f.place)).size + page.moreFates, 'record'), n(groups.size, 'group'), faults.length ? n(faults.filter(i => events[i].text.startsWith('fault struck')).length, 'strike') + ' of faults' : ''].filter(Boolean).join(' · ');
	for (const [kind, text] of [['published', 'published'], ['sent', 'sent'], ['delivered', 'delivered'], ['commit', 'returned commit'], ['retry', 'returned retry'], ['reject', 'returned reject'], ['waiting', 'waits'], ['settled', 'settled'], ['dead-lettered', 'dead-lettered'], ['committed', 'committed'], ['member', 'group'], ['fault', 'fault'], ['note', 'note']]) {
		if (!events.some(e => look(e) === kind)) continue;
		const s = document.createElementNS(svgns, 'svg');
		s.setAttribute('width', 16); s.setAttribute('height', 16);
		shape(draw(s, 'g', { class: kind }), kind, 8, 8, 5);
		$('legend').append(make('span', {}, s, text));
	}
	$('timeline').hidden = !events.length;
	$('fates').hidden = !fates.length;
	if (!events.length) $('text').open = true;
	else {
		refresh();
		for (let i = 0; i < 3; i++) { // all of it at once, where that can be read
			const w = Math.min(40, fitting());
			if (w < 9) { width = 20; layColumns(); break; }
			width = w;
			layColumns();
		}
		refresh();
	}
	if (fates.length) { kinds(); table(); }
	const worst = fates.find(f => bad.has(f.kind) && lastOf(f) >= 0) || fates.find(f => f.look && lastOf(f) >= 0);
	if (worst && page.outcome !== 'passed') choose(lastOf(worst), worst.place);
	document.documentElement.dataset.ready = 'yes';
})();
