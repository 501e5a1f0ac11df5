@echo off
rem Runs Python with the project's packages: of its .venv, where `pulumi install` puts them, else of the PATH.
if exist "%~dp0..\.venv\Scripts\python.exe" (
  "%~dp0..\.venv\Scripts\python.exe" %*
) else (
  python %*
)
exit /b %errorlevel%
