// Numbers and times as people read them.

// `950 ms` is nobody's concern: times are told from a second on, with one decimal below ten.
export function duration(ms) {
	const seconds = ms / 1000;
	if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
	if (seconds < 60) return `${Math.floor(seconds)} s`;
	const minutes = Math.floor(seconds / 60);
	if (minutes < 60) return rest(minutes, 'm', Math.floor(seconds % 60), 's');
	return rest(Math.floor(minutes / 60), 'h', minutes % 60, 'm');
}

function rest(large, unit, small, smallUnit) {
	return small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`;
}

// `2.6k`, `128k`, `1.2M`.
export function count(number) {
	if (number < 1000) return String(number);
	const [size, unit] = number < 999_500 ? [1000, 'k'] : [1_000_000, 'M'];
	const value = number / size;
	return (value < 10 ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value))) + unit;
}

export function dollars(cost) {
	if (cost === 0) return '$0';
	return cost < 0.01 ? `$${cost.toPrecision(1)}` : `$${cost.toFixed(2)}`;
}

export function plural(number, one, many = `${one}s`) {
	return `${number} ${number === 1 ? one : many}`;
}

export function ago(then, now) {
	const seconds = Math.max(0, (now - then) / 1000);
	if (seconds < 60) return 'now';
	if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
	if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
	return `${Math.floor(seconds / 86_400)} d`;
}

export function period(then, now) {
	const midnight = new Date(now).setHours(0, 0, 0, 0);
	if (then >= midnight) return 'Today';
	if (then >= midnight - 86_400_000) return 'Yesterday';
	return 'Earlier';
}

// Tokens that went in, from a cache or not, and all that were used.
export const tokensIn = usage => (usage?.inputTokens ?? 0) + (usage?.cacheReadTokens ?? 0) + (usage?.cacheWriteTokens ?? 0);
export const tokensOf = usage => tokensIn(usage) + (usage?.outputTokens ?? 0);

export const wordsIn = text => text.split(/\s+/).filter(Boolean).length;
