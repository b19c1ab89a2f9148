"use strict";
// Videos play together with one sound. Questions open when every video was watched to its end, or cannot be played.
const form = document.getElementById("answers");
if (form) {
  const videos = [...document.querySelectorAll("video")];
  const key = "draft-" + form.dataset.page;
  const watched = new Set();
  let together = false;

  function saved() {
    try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
  }
  function save() {
    const choices = Object.fromEntries([...form.querySelectorAll("input:checked")].map((box) => [box.name, box.value]));
    try {
      for (const name of Object.keys(localStorage)) if (name.startsWith("draft-") && name !== key) localStorage.removeItem(name);
      localStorage.setItem(key, JSON.stringify({ choices, watched: [...watched] }));
    } catch { /* without storage, a reload forgets the page's choices */ }
  }
  function seen(index) {
    watched.add(index);
    videos[index].closest("figure").classList.add("seen");
    const open = watched.size === videos.length;
    form.classList.toggle("waiting", !open);
    for (const field of form.querySelectorAll("fieldset")) field.disabled = !open;
    form.querySelector("[type=submit]").disabled = !open;
    document.getElementById("watch-hint").hidden = open;
  }

  form.classList.add("waiting");
  for (const field of form.querySelectorAll("fieldset")) field.disabled = true;
  form.querySelector("[type=submit]").disabled = true;
  document.getElementById("watch-hint").hidden = false;
  const all = document.getElementById("together");
  all.hidden = false;
  all.addEventListener("click", () => {
    together = true;
    videos.forEach((video, index) => { video.pause(); video.currentTime = 0; video.muted = index > 0; });
    for (const video of videos) video.play().catch(() => {});
  });
  videos.forEach((video, index) => {
    video.addEventListener("ended", () => { seen(index); save(); if (videos.every((other) => other.ended || other.paused)) together = false; });
    video.addEventListener("error", () => seen(index));
    if (video.error) seen(index);
    video.addEventListener("play", () => {
      if (together) return;
      video.muted = false;
      for (const other of videos) if (other !== video) other.pause();
    });
  });
  const draft = saved();
  for (const index of draft.watched || []) if (index < videos.length) seen(index);
  for (const [name, value] of Object.entries(draft.choices || {})) {
    const box = form.querySelector(`input[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`);
    if (box) box.checked = true;
  }
  form.addEventListener("change", save);
  form.addEventListener("submit", () => { setTimeout(() => { form.querySelector("[type=submit]").disabled = true; }); });
}
