class ChatWebSocket {
    constructor(chatId, token) {
        this.chatId = chatId;
        this.token = token;
        this.socket = null;
        this.isTyping = false;
        this.typingTimeout = null;
    }

    connect() {
        this.socket = new WebSocket(`ws://localhost:8000/ws/chat/${this.chatId}/`);
        
        this.socket.onopen = () => {
            console.log('Connected to chat');
        };

        this.socket.onmessage = (event) => {
            const data = JSON.parse(event.data);
            this.handleMessage(data);
        };

        this.socket.onclose = () => {
            console.log('Disconnected from chat');
        };

        this.socket.onerror = (error) => {
            console.error('WebSocket error:', error);
        };
    }

    handleMessage(data) {
        switch (data.type) {
            case 'connection_established':
                console.log('Connection established:', data.message);
                break;
                
            case 'message':
                this.displayMessage(data.data);
                break;
                
            case 'typing':
                this.showTypingIndicator(data);
                break;
                
            case 'messages_read':
                this.showReadIndicator(data);
                break;
                
            case 'error':
                console.error('WebSocket error:', data.message);
                break;
        }
    }

    sendMessage(text) {
        if (this.socket && this.socket.readyState === WebSocket.OPEN) {
            this.socket.send(JSON.stringify({
                type: 'message',
                text: text
            }));
        }
    }

    startTyping() {
        if (!this.isTyping) {
            this.isTyping = true;
            this.socket.send(JSON.stringify({
                type: 'typing',
                is_typing: true
            }));
        }
        
        // Сбрасываем таймер
        clearTimeout(this.typingTimeout);
        this.typingTimeout = setTimeout(() => {
            this.stopTyping();
        }, 3000);
    }

    stopTyping() {
        if (this.isTyping) {
            this.isTyping = false;
            this.socket.send(JSON.stringify({
                type: 'typing',
                is_typing: false
            }));
        }
    }

    markAsRead() {
        this.socket.send(JSON.stringify({
            type: 'read_messages'
        }));
    }

    disconnect() {
        if (this.socket) {
            this.socket.close();
        }
    }

    // Методы для отображения (должны быть реализованы в UI)
    displayMessage(message) {
        // Реализация отображения сообщения
        console.log('New message:', message);
    }

    showTypingIndicator(data) {
        // Реализация показа индикатора печати
        console.log('User typing:', data);
    }

    showReadIndicator(data) {
        // Реализация показа индикатора прочтения
        console.log('Messages read by:', data);
    }
}
