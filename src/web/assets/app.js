// Starts the page: finds the server it came from and shows what is there.

const deep = location.pathname.match(/^(.*\/)s\/[^/]+$/);
const root = new URL(deep ? deep[1] : './', location.href);

const main = document.createElement('main');
document.body.append(main);
const answer = await fetch(new URL('api/status', root), { headers: { 'X-Opencode-Page': '1' } });
const status = await answer.json();
main.textContent = status.directory ?? status.detail;
