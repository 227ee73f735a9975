/** The framed page. */
import { render } from "preact";
import { App } from "./app.ts";
import "./style/tokens.css";
import "./style/base.css";
import "./style/lists.css";
import "./style/chat.css";
import { Window } from "./view/Window.tsx";

const root = document.getElementById("app");
if (root) {
    const app = new App();
    render(<Window app={app} />, root);
    app.start();
}
