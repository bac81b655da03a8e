// Drives the protocol document's client (chat_websocket.js: the class of its example, word for
// word) through a conversation, and prints each line that it logs as JSON. tests/it/seed_client.rs
// runs this with ADDRESS, CHAT and TOKEN and judges what is printed.

import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import { browserWebSocket } from './websocket.mjs';

const { ADDRESS, CHAT, TOKEN } = process.env;
const logged = [];
const waiting = [];

function log(...words) {
    logged.push(words);
    process.stdout.write(JSON.stringify(words) + '\n');
    for (const one of waiting.splice(0)) one();
}

// Resolves when the client has logged `text`; the test that runs this has the deadline.
async function logs(text, isIt = () => true) {
    while (!logged.some(([first, second]) => first === text && isIt(second))) {
        await new Promise((resolve) => waiting.push(resolve));
    }
}

const page = vm.createContext({
    WebSocket: browserWebSocket(ADDRESS, TOKEN),
    console: { log, error: log },
    setTimeout,
    clearTimeout,
});
const source = readFileSync(new URL('./chat_websocket.js', import.meta.url), 'utf8');
const ChatWebSocket = vm.runInContext(`${source}\nChatWebSocket`, page);

const chat = new ChatWebSocket(Number(CHAT), TOKEN);
chat.connect();
await logs('Connection established:');
chat.sendMessage('Привет!');
await logs('New message:');
chat.startTyping();
await logs('User typing:', (event) => event.is_typing);
chat.stopTyping();
await logs('User typing:', (event) => !event.is_typing);
clearTimeout(chat.typingTimeout);
chat.markAsRead();
await logs('Messages read by:');
chat.disconnect();
await logs('Disconnected from chat');
