# The Functions app as a container: Azure's own host and Python worker, Assay, and its locked dependencies. The same
# image runs the command line, as a job or to verify a bundle:
#
#   docker build --build-arg BASE_DIGEST=sha256:... --build-arg REVISION="$(git rev-parse HEAD)" -t assay .
#   docker run --rm -v "$PWD:/here:ro" assay assay verify /here/bundle --key /here/trusted.pub
#
# Checked: hadolint; a test follows the COPY lines below into a folder, indexes the functions there and runs `assay`
# from there. Not checked, because it takes a container engine and a subscription: the build itself, the start of the
# host under APP_UID, and the health check. Nothing here needs BuildKit, which `az acr build` does not have.

# A release names the digest it was tested with; without one the newest image of the tag is taken.
ARG BASE_DIGEST=""

FROM mcr.microsoft.com/azure-functions/python:4-python3.13${BASE_DIGEST:+@$BASE_DIGEST} AS build

ARG VERSION="unreleased"
ARG REVISION=""

WORKDIR /home/site/wwwroot
COPY function_app/requirements.txt /build/requirements.txt
RUN python -m pip install --require-hashes --only-binary :all: --no-cache-dir --no-compile \
        --disable-pip-version-check --root-user-action=ignore \
        --requirement /build/requirements.txt --target .python_packages/lib/site-packages \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash .python_packages

# The app cannot write where it runs: what is not compiled here would be compiled anew in every process.
WORKDIR /app
COPY function_app/ ./
COPY shared/assay/ ./assay/
RUN python -m compileall -q -s /app -p /home/site/wwwroot --invalidation-mode unchecked-hash /app

COPY scripts/image/ /build/
RUN python /build/sbom.py /home/site/wwwroot/.python_packages/lib/site-packages "${VERSION}" "${REVISION}" \
        > /build/sbom.cdx.json \
    && chmod 755 /build/assay

FROM mcr.microsoft.com/azure-functions/python:4-python3.13${BASE_DIGEST:+@$BASE_DIGEST}

ARG BASE_DIGEST
ARG VERSION="unreleased"
ARG REVISION=""
ARG SOURCE=""
# The base image has no user for this; 0 goes back to root, should a later base image need it.
ARG APP_UID=1000

# The recipe reported to run this host without root gives its user these folders. The app's own files, copied below,
# stay root's: a process that is taken over cannot change the code.
RUN chown -R "${APP_UID}:${APP_UID}" /home /azure-functions-host /FuncExtensionBundles

COPY --from=build /home/site/wwwroot/.python_packages /home/site/wwwroot/.python_packages
COPY --from=build /app /home/site/wwwroot
COPY --from=build /build/assay /usr/local/bin/assay
COPY --from=build /build/sbom.cdx.json /usr/share/assay/sbom.cdx.json
# The folders too: who owns a folder can replace what is in it. The host may make folders of its own below /home.
RUN chown root:root /home /home/site /home/site/wwwroot && chmod 1777 /home && chmod 755 /home/site /home/site/wwwroot

# The port, because a user without rights cannot listen on 80. PYTHONPATH, because outside App Service the worker does
# not look into .python_packages by itself. File logs and file watching have no use in an image that does not change.
ENV ASPNETCORE_URLS="http://+:8080" \
    AzureFunctionsJobHost__Logging__Console__IsEnabled="true" \
    AzureFunctionsJobHost__Logging__FileLoggingMode="never" \
    AzureFunctionsJobHost__FileWatchingEnabled="false" \
    AzureWebJobsDisableHomepage="true" \
    AzureWebJobsScriptRoot="/home/site/wwwroot" \
    FUNCTIONS_WORKER_RUNTIME="python" \
    PYTHONPATH="/home/site/wwwroot/.python_packages/lib/site-packages" \
    ASSAY_GIT_SHA="${REVISION}"

LABEL org.opencontainers.image.title="Assay" \
      org.opencontainers.image.description="LLM experiments as a batch job in your own Azure subscription" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="mcr.microsoft.com/azure-functions/python:4-python3.13" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}" \
      assay.sbom="/usr/share/assay/sbom.cdx.json"

USER ${APP_UID}
EXPOSE 8080

# Container Apps ignores this and asks with probes of its own: at start and for life the host's anonymous
# /admin/host/ping, for readiness the app's /api/health, both on 8080.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/admin/host/ping')"]
