# One image for all three: gunicorn (the default), `flask outbox work`, `flask db upgrade`.
# docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges …

FROM python:3.13-slim AS build
WORKDIR /srv/rekey
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
COPY config.py config_checks.py gunicorn.conf.py log_lines.py wsgi.py ./
COPY app app
COPY migrations migrations
RUN FLASK_CONFIG=testing flask translate compile \
    && python -m compileall -q app migrations config.py config_checks.py log_lines.py wsgi.py

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin rekey
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/rekey /srv/rekey
WORKDIR /srv/rekey
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 FLASK_CONFIG=production
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["gunicorn", "wsgi:app", "--bind", "0.0.0.0:8000", "--worker-tmp-dir", "/tmp"]
