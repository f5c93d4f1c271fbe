// What a person chose and typed, kept in this browser.

const place = `opencode ${new URL('.', location.href.replace(/\/s\/[^/]*\/?$/, '/')).pathname} `;

function read(key, otherwise) {
	try {
		return JSON.parse(localStorage.getItem(place + key)) ?? otherwise;
	} catch {
		return otherwise;
	}
}

function write(key, value) {
	try {
		if (value === null || value === '') localStorage.removeItem(place + key);
		else localStorage.setItem(place + key, JSON.stringify(value));
	} catch {
	}
}

const PROMPTS = 100;

export const settings = {
	get theme() { return document.documentElement.dataset.theme ?? 'system'; },
	set theme(name) {
		if (name === 'system') delete document.documentElement.dataset.theme;
		else document.documentElement.dataset.theme = name;
		// Read by theme.js before anything is drawn, for all projects of this address.
		try {
			localStorage.setItem('opencode theme', name);
		} catch { /* as above */ }
	},

	singleKeys: read('single keys', true),
	setSingleKeys(on) {
		this.singleKeys = on;
		write('single keys', on);
	},

	draft: session => read(`draft ${session ?? 'new'}`, ''),
	setDraft: (session, text) => write(`draft ${session ?? 'new'}`, text),

	prompts: () => read('prompts', []),
	addPrompt(text) {
		write('prompts', [...this.prompts().filter(one => one !== text), text].slice(-PROMPTS));
	},

	model: () => read('model', null),
	setModel: id => write('model', id),
	agent: () => read('agent', null),
	setAgent: id => write('agent', id),
};
