// Stands in for the browser's WebSocket, in Node of any age: RFC 6455 over a plain socket, text
// frames and closing only. Two things a browser does elsewhere are done here: the port (the
// document's client has 8000 written in) and the token in the Authorization header.

import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TEXT = 0x1, CLOSE = 0x8, PING = 0x9, PONG = 0xa;

export function browserWebSocket(address, token) {
    const [host, port] = address.split(':');

    return class WebSocket {
        static CONNECTING = 0;
        static OPEN = 1;
        static CLOSING = 2;
        static CLOSED = 3;

        constructor(url) {
            this.readyState = WebSocket.CONNECTING;
            this.key = randomBytes(16).toString('base64');
            this.buffer = Buffer.alloc(0);
            this.socket = connect(Number(port), host, () => this.#asks(new URL(url)));
            this.socket.on('data', (bytes) => this.#hears(bytes));
            this.socket.on('error', (error) => this.onerror?.(error));
            this.socket.on('close', () => this.#ends());
        }

        send(text) {
            if (this.readyState === WebSocket.CONNECTING) throw new Error('InvalidStateError');
            if (this.readyState === WebSocket.OPEN) this.#writes(TEXT, Buffer.from(text));
        }

        close(code = 1000) {
            if (this.readyState >= WebSocket.CLOSING) return;
            this.readyState = WebSocket.CLOSING;
            this.#writes(CLOSE, Buffer.from([code >> 8, code & 0xff]));
        }

        #asks(url) {
            this.socket.write([
                `GET ${url.pathname}${url.search} HTTP/1.1`,
                `Host: ${address}`,
                'Upgrade: websocket',
                'Connection: Upgrade',
                `Sec-WebSocket-Key: ${this.key}`,
                'Sec-WebSocket-Version: 13',
                `Authorization: Bearer ${token}`,
                '', '',
            ].join('\r\n'));
        }

        #hears(bytes) {
            this.buffer = Buffer.concat([this.buffer, bytes]);
            if (this.readyState === WebSocket.CONNECTING && !this.#isAccepted()) return;
            for (let frame; (frame = this.#takesFrame()); ) this.#handles(frame);
        }

        #isAccepted() {
            const end = this.buffer.indexOf('\r\n\r\n');
            if (end < 0) return false;
            const head = this.buffer.subarray(0, end).toString();
            const accept = createHash('sha1').update(this.key + GUID).digest('base64');
            const isGood = head.startsWith('HTTP/1.1 101 ')
                && head.toLowerCase().includes(`sec-websocket-accept: ${accept}`.toLowerCase());
            if (!isGood) {
                this.socket.destroy(new Error(head));
                return false;
            }
            this.buffer = this.buffer.subarray(end + 4);
            this.readyState = WebSocket.OPEN;
            this.onopen?.({ type: 'open' });
            return true;
        }

        #takesFrame() {
            if (this.buffer.length < 2) return null;
            let length = this.buffer[1] & 0x7f;
            let start = 2;
            if (length === 126) {
                if (this.buffer.length < 4) return null;
                length = this.buffer.readUInt16BE(2);
                start = 4;
            } else if (length === 127) {
                if (this.buffer.length < 10) return null;
                length = Number(this.buffer.readBigUInt64BE(2));
                start = 10;
            }
            if (this.buffer.length < start + length) return null;
            const frame = {
                isFinal: (this.buffer[0] & 0x80) !== 0,
                opcode: this.buffer[0] & 0x0f,
                payload: this.buffer.subarray(start, start + length),
            };
            this.buffer = this.buffer.subarray(start + length);
            return frame;
        }

        #handles({ isFinal, opcode, payload }) {
            if (opcode === TEXT && isFinal) {
                this.onmessage?.({ type: 'message', data: payload.toString() });
            } else if (opcode === PING) {
                this.#writes(PONG, payload);
            } else if (opcode === CLOSE) {
                this.closed = { code: payload.length ? payload.readUInt16BE(0) : 1005, reason: payload.subarray(2).toString() };
                if (this.readyState === WebSocket.OPEN) this.#writes(CLOSE, payload.subarray(0, 2));
                this.readyState = WebSocket.CLOSING;
                this.socket.end();
            } else if (opcode !== PONG) {
                this.socket.destroy(new Error(`a frame of kind ${opcode}, final: ${isFinal}`));
            }
        }

        #writes(opcode, payload) {
            const mask = randomBytes(4);
            const length = payload.length < 126
                ? Buffer.from([0x80 | payload.length])
                : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 0xff]);
            const masked = Buffer.from(payload.map((byte, at) => byte ^ mask[at % 4]));
            this.socket.write(Buffer.concat([Buffer.from([0x80 | opcode]), length, mask, masked]));
        }

        #ends() {
            this.readyState = WebSocket.CLOSED;
            const { code, reason } = this.closed ?? { code: 1006, reason: '' };
            this.onclose?.({ type: 'close', code, reason, wasClean: this.closed !== undefined });
        }
    };
}
