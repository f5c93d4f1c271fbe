// Puts the page together: sessions, their views, keys, the address.

import { copyText, el, icon, iconButton, setText } from './dom.js';
import { Link, get, request, root, sessionInAddress } from './net.js';
import { UNDO_MS, Sessions } from './sessions.js';
import { settings } from './settings.js';
import { textOf } from './store.js';
import { choose, fits } from './view/chooser.js';
import { Composer } from './view/composer.js';
import { Conversation } from './view/conversation.js';
import { askTitle, menu, showKeys, signIn } from './view/dialogs.js';
import { Sidebar } from './view/sidebar.js';
import { Status } from './view/status.js';

const $ = id => document.getElementById(id);
const narrow = matchMedia('(max-width: 899px)');
const THEMES = ['system', 'light', 'dark'];

let agents = [];
let models = [];
let providers = [];
let info = null;
let read = null;

const link = new Link({
	onstate: state => linkChanged(state),
	onevent: event => sessions.hear(event),
	place: id => sessions.open.get(id)?.lastEventId ?? 0,
});
const sessions = new Sessions(link);

const actions = {
	address: id => new URL(id ? `s/${id}` : './', root).href,
	go,
	send,
	retry: message => {
		const { messages } = sessions.shown;
		const asked = messages[messages.indexOf(message) - 1];
		if (asked) send(textOf(asked));
	},
	stop: () => sessions.stop(),
	answer: (question, reply) => sessions.answer(question, reply),
	busy: () => status.notice('One answer at a time: Esc stops this one. Your text stays in the box.', 'muted', 4000),
	toQuestion: () => {
		const { question } = conversation;
		question?.scrollIntoView({ block: 'nearest' });
		question?.focus({ preventScroll: true });
	},
	chooseAgent, chooseModel, sessionMenu, rename, remove,
};

const conversation = new Conversation({ scroll: $('scroll'), column: $('column'), latest: $('latest') }, sessions, actions);
const composer = new Composer($('composer'), actions);
const sidebar = new Sidebar($('sidebar'), sessions, actions);
const status = new Status({ line: $('state'), voice: $('voice'), state: $('link') }, { link, sessions, actions });

function chosen() {
	const session = sessions.shown;
	const agent = session?.agent ?? settings.agent() ?? link.status?.defaultAgent ?? '…';
	const model = session?.model ?? settings.model() ?? link.status?.defaultModel ?? '…';
	return { agent, model, unavailable: models.find(one => one.id === model)?.available === false };
}

function drawComposer() {
	composer.update(sessions.shown, { online: link.isOnline, ...chosen() });
}

function draw() {
	setText($('title'), sessions.shown?.title || 'New session');
	$('more').hidden = !sessions.current;
	drawComposer();
	status.draw();
}

function go(id, { replace = false, focus = true } = {}) {
	const address = actions.address(id);
	if (address !== location.href) history[replace ? 'replaceState' : 'pushState'](null, '', address);
	openSidebar(false);
	composer.open(id);
	status.clear();
	const shown = sessions.show(id);
	sidebar.draw();
	if (focus && !matchMedia('(pointer: coarse)').matches) composer.field.focus({ preventScroll: true });
	return shown;
}

addEventListener('popstate', () => go(sessionInAddress(), { replace: true }));

sessions.on('list', () => sidebar.draw());
sessions.on('shown', () => {
	const session = sessions.shown;
	conversation.show(session ?? (sessions.current ? { messages: [], loading: true } : null), { info });
	draw();
});
sessions.on('replaced', ({ session, again }) => {
	conversation.show(session, { again, info });
	draw();
});
sessions.on('began', ({ id }) => {
	history.replaceState(null, '', actions.address(id));
	composer.moved(id);
	sidebar.draw();
});
sessions.on('changed', ({ session, event }) => {
	if (session !== sessions.shown) return;
	conversation.touch();
	if (event.type === 'text' || event.type === 'reasoning' || event.type === 'tool_output') return;
	status.voiceOf(event, session);
	// What had the focus goes: the box has it again.
	if (event.type === 'permission_reply' && document.activeElement.closest('.permission')) composer.field.focus({ preventScroll: true });
	if (event.type === 'done' && document.hidden) status.done = true;
	if (event.type === 'permission') requestAnimationFrame(() => requestAnimationFrame(offerQuestion));
	draw();
});
sessions.on('titled', ({ id }) => id === sessions.current && draw());
sessions.on('gone', id => {
	const unsent = composer.text;
	settings.setDraft(id, '');
	go(null, { replace: true });
	if (unsent) composer.restore(unsent);
	status.notice(`This session was deleted, or never was here.${unsent ? ' What you were writing is kept.' : ''}`);
});
sessions.on('failed', ({ message }) => status.notice(message, 'err'));
sessions.on('refused', ({ session, message, why }) => {
	if ((session.id ?? null) === (sessions.current ?? null)) {
		conversation.show(sessions.shown, { again: true, info });
		composer.restore(message);
	} else {
		settings.setDraft(session.id, [message, settings.draft(session.id)].filter(Boolean).join('\n\n'));
	}
	status.notice(why, 'err', 15_000);
	draw();
});

function offerQuestion() {
	const idle = [document.body, composer.field, composer.send, $('scroll')].includes(document.activeElement);
	if (!composer.text && idle && !document.querySelector('dialog[open]')) actions.toQuestion();
}

function send(text) {
	const session = sessions.shown;
	if (link.state === 'gone') link.tryNow();
	if (!text) return false;
	if (session?.status === 'running' || session?.pending) {
		actions.busy();
		return false;
	}
	const picked = session?.picked ?? (session ? {} : { agent: settings.agent(), model: settings.model() });
	if (!sessions.ask(text, picked)) {
		status.notice('Not connected: your text stays in the box.', 'warn', 4000);
		return false;
	}
	status.clear();
	conversation.toEnd();
	drawComposer();
	return true;
}

function rename(id = sessions.current) {
	askTitle(sessions.heads.get(id).title, title => sessions.rename(id, title));
}

function remove(id = sessions.current) {
	const order = sidebar.order.map(head => head.id);
	const at = order.indexOf(id);
	const { title } = sessions.heads.get(id);
	sessions.remove(id);
	const next = order[at + 1] ?? order[at - 1] ?? null;
	if (id === sessions.current) go(next, { replace: true, focus: false });
	(sidebar.list.querySelector(`a[href="${CSS.escape(actions.address(next))}"]`) ?? $('new')).focus();
	toast(`Deleted “${title}”`, 'Undo', () => {
		sessions.undo(id);
		go(id);
	});
}

function toast(words, label, run) {
	const note = el('div.toast', null, el('span', null, words), el('button.quiet', { onclick: () => {
		note.remove();
		run();
	} }, label));
	$('toasts').append(note);
	setTimeout(() => note.remove(), UNDO_MS - 200);
}

addEventListener('pagehide', () => {
	for (const id of sessions.deleting.keys()) sessions.finishRemoving(id, { keepalive: true });
});

function sessionMenu(id, anchor) {
	const running = sessions.heads.get(id)?.status === 'running';
	menu(anchor, [
		{ label: 'Rename', keys: 'F2', run: () => rename(id) },
		{ label: 'Copy link', run: () => copyText(actions.address(id)) },
		...(running ? [{ label: 'Stop the answer', keys: 'Esc', run: () => link.say({ type: 'abort', sessionId: id }) }] : []),
		{ label: 'Delete', keys: 'Del', danger: true, run: () => remove(id) },
	]);
}

function pick(key, value) {
	const session = sessions.shown;
	settings[key === 'agent' ? 'setAgent' : 'setModel'](value);
	if (session) {
		session[key] = value;
		session.picked = { ...session.picked, [key]: value };
	}
	drawComposer();
	composer.field.focus();
}

function chooseAgent() {
	const now = chosen().agent;
	choose({ label: 'Agent', placeholder: 'Choose an agent', items: query => agents
		.filter(agent => agent.mode !== 'subagent' && fits(`${agent.id} ${agent.description}`, query))
		.map(agent => ({ label: agent.id, note: agent.description, current: agent.id === now, run: () => pick('agent', agent.id) })) });
}

async function chooseModel() {
	const now = chosen().model;
	await loadModels().catch(() => {});
	choose({ label: 'Model', placeholder: 'Choose a model', items: query => {
		const named = id => providers.find(one => one.id === id);
		const rows = models.filter(model => fits(`${model.id} ${model.name} ${named(model.provider)?.name}`, query)).map(model => ({
			group: named(model.provider)?.name ?? model.provider, label: model.id.slice(model.provider.length + 1), current: model.id === now, disabled: !model.available,
			note: model.available ? notes(model) : `set ${named(model.provider)?.keyVariable ?? 'its key'}`, run: () => pick('model', model.id),
		}));
		const without = providers.filter(one => !one.configured && !models.some(model => model.provider === one.id) && fits(`${one.id} ${one.name}`, query))
			.map(one => ({ group: 'Not set up', label: one.name, disabled: true, note: one.keyVariable ? `set ${one.keyVariable}` : 'configure it in opencode.json' }));
		return [...rows.filter(row => !row.disabled), ...rows.filter(row => row.disabled), ...without];
	} });
}

function notes(model) {
	const context = model.contextWindow ? `${Math.round(model.contextWindow / 1000)}k context` : null;
	return [context, model.reasoning ? 'reasons' : null, model.toolCalls ? null : 'no tools'].filter(Boolean).join(' · ');
}

function palette() {
	if (sessions.hasMore) sessions.loadList(true).catch(() => {});
	choose({ label: 'Find', placeholder: 'Find a session or a command', items: query => {
		const commands = [
			{ label: 'New session', keys: 'Alt N', run: () => go(null) },
			{ label: 'Choose the model', keys: 'Alt M', run: chooseModel },
			{ label: 'Choose the agent', keys: 'Alt A', run: chooseAgent },
			...(sessions.current ? [
				{ label: 'Rename this session', run: () => rename() },
				{ label: 'Delete this session', run: () => remove() },
			] : []),
			...(sessions.shown?.status === 'running' ? [{ label: 'Stop the answer', keys: 'Esc', run: actions.stop }] : []),
			{ label: 'Change light and dark', note: settings.theme, run: nextTheme },
			{ label: 'Keys', keys: '?', run: showKeys },
			...(link.status?.auth ? [{ label: 'Sign out', run: signOut }] : []),
		].filter(row => fits(row.label, query)).map(row => ({ group: 'Commands', ...row }));
		const found = sessions.listed(query).slice(0, query ? 50 : 8).map(head => ({
			group: 'Sessions', label: head.title, current: head.id === sessions.current, mark: head.waiting ? '?' : head.status === 'running' ? '●' : null, run: () => go(head.id),
		}));
		return query ? [...found, ...commands] : [...commands, ...found];
	} });
}

function openSidebar(show) {
	const wasOpen = document.body.classList.contains('side-open');
	document.body.classList.toggle('side-open', show);
	$('menu').setAttribute('aria-expanded', String(show));
	$('sidebar').inert = narrow.matches && !show;
	document.querySelector('main').inert = narrow.matches && show;
	if (show) $('search').focus();
	else if (wasOpen) $('menu').focus();
}

function nextTheme() {
	settings.theme = THEMES[(THEMES.indexOf(settings.theme) + 1) % THEMES.length];
	status.notice(`Colours: ${settings.theme}`, 'muted', 2000);
}

async function signOut() {
	await request('DELETE', 'api/login').catch(() => {});
	location.href = root.href;
}

const themeButton = iconButton('theme', 'Change light and dark', nextTheme);
const leaveButton = iconButton('leave', 'Sign out', signOut, { hidden: true });
document.querySelector('.side-foot').append(
	el('button.quiet', { onclick: showKeys }, 'Keys', el('kbd', null, '?')), themeButton, leaveButton);
$('menu').append(icon('menu'));
$('more').append(icon('more'));
$('new').prepend(icon('plus'));
$('latest').prepend(icon('down'));
$('menu').addEventListener('click', () => openSidebar(!document.body.classList.contains('side-open')));
$('scrim').addEventListener('click', () => openSidebar(false));
$('new').addEventListener('click', () => go(null));
$('more').addEventListener('click', event => sessionMenu(sessions.current, event.currentTarget));
narrow.addEventListener('change', () => openSidebar(false));
openSidebar(false);

const ALT = { KeyN: () => go(null), KeyM: chooseModel, KeyA: chooseAgent, KeyY: () => actions.toQuestion(), ArrowUp: () => beside(-1), ArrowDown: () => beside(1) };

function beside(by) {
	const order = sidebar.order;
	const at = order.findIndex(head => head.id === sessions.current);
	const next = order[at < 0 ? 0 : at + by];
	if (next) go(next.id);
}

document.addEventListener('keydown', event => {
	if (event.isComposing || document.querySelector('dialog.signin')) return;
	const inField = event.target.closest?.('input, textarea');
	if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === 'k') {
		event.preventDefault();
		palette();
	} else if (document.querySelector('dialog[open]')) {
		return;
	} else if (event.altKey && !event.ctrlKey && !event.metaKey && ALT[event.code]) {
		event.preventDefault();
		ALT[event.code]();
	} else if (event.key === 'Escape') {
		if (document.body.classList.contains('side-open')) openSidebar(false);
		else sessions.stop();
	} else if (event.key === '?' && !inField && settings.singleKeys) {
		showKeys();
	}
});

async function loadModels() {
	[models, providers] = await Promise.all([get('api/models'), get('api/providers')]);
	drawComposer();
}

async function linkChanged(state) {
	const running = sessions.shown?.status === 'running';
	if (state === 'gone' && read === null) read = { id: sessions.current, words: running ? sessions.wordsIn(sessions.current) : null };
	for (const session of sessions.open.values()) {
		const last = session.messages.at(-1);
		if (last?.running) last.frozen = state !== 'online';
	}
	conversation.touch();
	drawComposer();
	status.draw();
	if (state === 'signed-out') {
		await signIn();
		link.tryNow();
	} else if (state === 'online') {
		// One that went again meanwhile starts over when it is back.
		await online().catch(error => error.status && status.notice(error.message, 'err'));
	}
}

// What was missed may still be on its way.
function tellBack(was, restarted, looks) {
	if (looks > 0 && sessions.isBehind(was.id)) return setTimeout(tellBack, 100, was, restarted, looks - 1);
	return status.back({ restarted, words: was.words === null ? 0 : sessions.wordsIn(was.id) - was.words });
}

async function online() {
	const { status: server, restarted } = link;
	const { directory, defaultModel: model, version, auth } = server;
	setText($('directory'), directory.split('/').filter(Boolean).at(-1) ?? directory);
	$('directory').title = directory;
	leaveButton.hidden = !auth;
	const was = read;
	read = null;
	await sessions.comeBack();
	if (was && was.id === sessions.current) setTimeout(tellBack, 300, was, restarted, 50);
	[agents] = await Promise.all([get('api/agents'), loadModels()]);
	const readme = await get('api/files?query=readme&limit=1').then(files => files[0], () => null);
	info = { directory, model, version, offline: model.startsWith('offline/'), readme };
	if (!sessions.shown) conversation.show(sessions.current ? { messages: [], loading: true } : null, { info });
	draw();
}

composer.open(sessionInAddress());
sessions.current = sessionInAddress();
if (sessions.current) sessions.show(sessions.current);
composer.field.focus();
link.tryNow();
