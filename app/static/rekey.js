// Every page works without this file. It adds: Show beside passwords, focus where an error link leads, and the typed
// address on the way from sign-in to the forgot page.

function offerToShow(button) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  const status = button.parentElement.querySelector("[role=status]");

  function show(visible) {
    input.type = visible ? "text" : "password";
    button.textContent = visible ? button.dataset.hide : button.dataset.show;
    button.setAttribute("aria-label", visible ? button.dataset.hideLabel : button.dataset.showLabel);
  }

  button.addEventListener("click", () => {
    const visible = input.type === "password";
    show(visible);
    status.textContent = visible ? button.dataset.visible : button.dataset.hidden;
  });
  input.form.addEventListener("submit", () => show(false)); // else the browser offers to save it as plain text
  window.addEventListener("pageshow", (event) => event.persisted && show(false));
  show(false);
  button.hidden = false;
}

function leadToField(link) {
  link.addEventListener("click", (event) => {
    const input = document.querySelector(link.hash);
    if (!input) return;
    event.preventDefault();
    (document.querySelector(`label[for="${input.id}"]`) || input).scrollIntoView();
    input.focus({ preventScroll: true });
  });
}

function carryAddress(link) {
  link.addEventListener("click", () => sessionStorage.setItem("address", document.getElementById("email").value));
}

function takeAddress(input) {
  const address = sessionStorage.getItem("address");
  sessionStorage.removeItem("address");
  if (address) input.value = address; // typed later than what the server remembers
}

document.querySelectorAll("button.show").forEach(offerToShow);
document.querySelectorAll(".errors a[href^='#']").forEach(leadToField);
document.querySelectorAll("a[data-carries-address]").forEach(carryAddress);
document.querySelectorAll("input[data-takes-address]").forEach(takeAddress);
